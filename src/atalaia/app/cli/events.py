"""``atalaia events``: why series will be strange, so that they neither alarm nor teach meanwhile."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atalaia.app.cli.models import agreed
from atalaia.app.cli.output import columns, note, show_local, show_one, show_pages
from atalaia.app.cli.series import Cursor, Limit
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.times import optional_time, parse_time
from atalaia.core.clock import utc_now
from atalaia.core.errors import Fault, Invalid

if TYPE_CHECKING:
    from atalaia.connectors.atalaia.events import Holidays, Recurrence

app = typer.Typer(
    no_args_is_help=True,
    help="Known events: maintenance, deploys, holidays, in which series neither alarm nor teach.",
    epilog=examples(
        "atalaia events add deploy 'cart 2.4.1' --label app:cart", "atalaia events list --active-at 2026-12-25"
    ),
)
_TIMES = ("from", "to", "until", "created_at")
_LIST = columns("event_id=event", "kind", "title", "from", "to", "until", "is_active=active", times=_TIMES)
_SHOW = columns(
    "event_id=event", "kind", "title", "scope.everything=all series", "scope.fleet_id=fleet",
    "scope.series_ids=series", "scope.labels=labels", "from", "to", "until", "recurrence.rrule=comes again",
    "recurrence.zone=zone", "holidays.country=holidays of", "holidays.subdivision=part",
    "holidays.zone=zone of days",
    "is_active=active", "created_at",
    times=_TIMES,
)  # fmt: skip
_PLAN = columns("kind", "title", "from", "to", "scope", "recurrence", "holidays", times=("from", "to"))
_LASTING = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
EventArgument = Annotated[str, typer.Argument(metavar="EVENT", help="Id of the event.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]


@app.command(
    "list",
    epilog=examples("atalaia events list --series 'pump 7'", "atalaia events list --active-at '2026-12-25 08:00'"),
)
def list_events(
    ctx: typer.Context,
    active_at: Annotated[str | None, typer.Option(help="Only those that are active at this time.")] = None,
    series: Annotated[str | None, typer.Option(help="Only those that cover this series.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List known events, newest first."""
    session = session_of(ctx, output)
    moment = optional_time(active_at, "--active-at")
    with session.client() as client:
        show_pages(
            session,
            lambda rows, at: client.events.list(active_at=moment, series_id=series, limit=rows, cursor=at),
            _LIST,
            limit=limit,
            cursor=cursor,
        )


@app.command("show", epilog=examples("atalaia events show EVENT", "atalaia events show EVENT --output json"))
def show_event(ctx: typer.Context, event: EventArgument, output: OutputOption = Output.TABLE) -> None:
    """Show one known event."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.events.get(event), _SHOW)


@app.command(
    "add",
    epilog=examples(
        "atalaia events add maintenance 'new pump' --series 'pump 7' --from '2026-12-01 08:00' --for 2h",
        "atalaia events add maintenance backup --fleet db --from '2026-12-06 02:00' --for 2h "
        "--rrule 'FREQ=WEEKLY;BYDAY=SU' --zone America/Sao_Paulo",
        "atalaia events add holiday 'bank holidays' --all --country BR --subdivision SP --zone America/Sao_Paulo",
    ),
)
def add_event(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="maintenance, deploy, holiday or other.")],
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What it is.")],
    from_: Annotated[str | None, typer.Option("--from", help="Start; now if it is not given.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="End, not included.")] = None,
    lasting: Annotated[str | None, typer.Option("--for", help="How long instead: 90s, 30m, 2h or 1d.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="It covers all series.")] = False,
    fleet: Annotated[str | None, typer.Option(help="It covers the series of this fleet.")] = None,
    series: Annotated[list[str] | None, typer.Option(help="It covers this series; repeatable.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Series with all of these, name:value; repeatable.")
    ] = None,
    rrule: Annotated[str | None, typer.Option(help="It comes again by this RRULE of RFC 5545.")] = None,
    country: Annotated[str | None, typer.Option(help="It is the public holidays of a country, e.g. BR.")] = None,
    subdivision: Annotated[str | None, typer.Option(help="Of this state or province of it.")] = None,
    zone: Annotated[str, typer.Option(help="Time zone of the rule, or of the days.")] = "UTC",
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say why series will be strange. Meanwhile they neither alarm nor teach; their points are kept."""
    session = session_of(ctx, output)
    start = utc_now() if from_ is None else parse_time(from_, "--from")
    end = optional_time(to, "--to") if lasting is None else start + _lasting(lasting, to)
    scope: dict[str, Any] = {"everything": everything, "fleet_id": fleet, "series_ids": series, "labels": label}
    times: dict[str, Any] = {"recurrence": _again(rrule, zone), "holidays": _place(country, subdivision, zone)}
    if dry_run:
        moments = {"from": start.isoformat(), "to": None if end is None else end.isoformat()}
        row = {"kind": kind, "title": title, **moments, "scope": {k: v for k, v in scope.items() if v}}
        show_local(session, [{**row, "recurrence": rrule, "holidays": country}], _PLAN)
        return
    with session.client() as client:
        show_one(session, client.events.add(title, kind, start, end, **scope, **times), _SHOW)


@app.command("end", epilog=examples("atalaia events end EVENT", "atalaia events end EVENT --at '2026-12-01 09:10'"))
def end_event(
    ctx: typer.Context,
    event: EventArgument,
    at: Annotated[str | None, typer.Option(help="When; now if it is not given.")] = None,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """End an event: nothing of it counts from then on."""
    session = session_of(ctx, output)
    moment = utc_now() if at is None else parse_time(at, "--at")
    with session.client() as client:
        if dry_run:
            show_one(session, client.events.get(event), _SHOW)
            note(f"It would end at {moment.isoformat()}.")
            return
        show_one(session, client.events.change(event, until=moment), _SHOW)


@app.command(
    "delete", epilog=examples("atalaia events delete EVENT --yes", "atalaia events delete EVENT --dry-run")
)
def delete_event(
    ctx: typer.Context,
    event: EventArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Delete an event: the next training learns from its time."""
    session = session_of(ctx)
    with session.client() as client:
        found = client.events.get(event)
        note(f"{found.kind} {found.title!r} would go; the next training learns from its time.")
        if dry_run:
            return
        agreed(yes)
        client.events.delete(event)
    note(f"{event} is deleted.")


def _lasting(text: str, to: str | None) -> timedelta:
    found = _LASTING.fullmatch(text)
    if found is None or to is not None:
        reason = (
            "give --to or --for, not both" if found is not None else f"{text!r} is not written 90s, 30m, 2h or 1d"
        )
        raise Invalid("invalid_time", f"--for: {reason}", faults=[Fault("/for", reason)])
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _again(rrule: str | None, zone: str) -> "Recurrence | None":
    from atalaia.connectors.atalaia.events import Recurrence

    return None if rrule is None else Recurrence(rrule=rrule, zone=zone)


def _place(country: str | None, subdivision: str | None, zone: str) -> "Holidays | None":
    from atalaia.connectors.atalaia.events import Holidays

    return None if country is None else Holidays(country=country, subdivision=subdivision, zone=zone)
