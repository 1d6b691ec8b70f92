"""``atalaia series``: the catalogue."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from atalaia.app.cli.explanations import point_lines, show_page
from atalaia.app.cli.output import columns, note, rows_of, show_one, show_pages, show_rows
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.times import optional_time
from atalaia.core.errors import Denied, Fault, Invalid, Missing

if TYPE_CHECKING:
    from atalaia.connectors.atalaia import Client

app = typer.Typer(
    no_args_is_help=True,
    help="The series that are watched.",
    epilog=examples("atalaia series list --label site=north", "atalaia series show 'pump 7'"),
)
_LIST = columns(
    "series_id=series", "fleet_id=fleet", "received=points", "first_at", "last_at", "statistics.last_value",
    "labels",
    times=("first_at", "last_at"),
)  # fmt: skip
_SHOW = columns(
    "series_id=series", "fleet_id=fleet", "labels", "first_at", "last_at", "received=points", "step_s",
    "statistics.count", "statistics.mean", "statistics.std", "statistics.last_value",
    "readiness.state=readiness", "readiness.points=points learnt", "readiness.days=days learnt",
    "readiness.peers=peers", "readiness.missing=missing",
    times=("first_at", "last_at"),
)  # fmt: skip
_NUMBERS = columns("series_id=series", "number")
_POINTS = columns("timestamp=time", "value", times=("timestamp",))
_BUCKETS = columns("from", "to", "count", "min", "mean", "max", times=("from", "to"))

SeriesArgument = Annotated[str, typer.Argument(metavar="SERIES", help="Name of the series.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Rows at most; 100 in a table and in json, else all.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where an earlier list ended.")]
From = Annotated[str | None, typer.Option("--from", help="First time: RFC 3339, Unix seconds, or local time.")]
To = Annotated[str | None, typer.Option("--to", help="End, not included.")]


def pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """Return the ``k=v`` texts as a dict.

    Raises
    ------
    Invalid
        When one has no ``=``.
    """
    found: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise Invalid(
                "invalid_pair", f"{option} {text!r}: write name=value", faults=[Fault(option, "name=value")]
            )
        found[name] = value
    return found


@app.command("list", epilog=examples("atalaia series list --prefix nab/", "atalaia series list --output csv"))
def list_series(
    ctx: typer.Context,
    label: Annotated[list[str] | None, typer.Option(help="Only with this label, name=value; repeatable.")] = None,
    fleet: Annotated[str | None, typer.Option(help="Only of this fleet.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Only names that begin so.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the series of the catalogue."""
    session = session_of(ctx, output)
    labels = pairs(label, "--label")
    with session.client() as client:
        show_pages(
            session,
            lambda rows, at: client.series.list(
                labels=labels, fleet_id=fleet, prefix=prefix, limit=rows, cursor=at
            ),
            _LIST,
            limit=limit,
            cursor=cursor,
        )


@app.command("show", epilog=examples("atalaia series show 'pump 7'", "atalaia series show nab/cpu --output json"))
def show_series(ctx: typer.Context, series: SeriesArgument, output: OutputOption = Output.TABLE) -> None:
    """Show one series with its running statistics, and how ready it is to be judged."""
    session = session_of(ctx, output)
    with session.client() as client:
        if output in (Output.JSON, Output.NDJSON):  # the answer of the API, as it came
            show_one(session, client.series.get(series), _SHOW)
            return
        (row,) = rows_of([client.series.get(series)])
        show_one(session, {**row, "readiness": _readiness(client, series)}, _SHOW)


def _readiness(client: "Client", series: str) -> dict[str, Any] | None:
    """Return how ready a series is; None for those who may not see models."""
    try:
        return rows_of([client.models.readiness(series)])[0]
    except Missing as why:
        return {"state": "unlearnt", "missing": [why.detail]}
    except Denied:
        return None


@app.command(
    "explain",
    epilog=examples("atalaia series explain 'pump 7'", "atalaia series explain 'pump 7' --at 2014-04-10T07:15:00Z"),
)
def explain_series(
    ctx: typer.Context,
    series: SeriesArgument,
    at: Annotated[str | None, typer.Option(help="When; by default at its newest point.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say why a series did or did not alarm at a moment."""
    session = session_of(ctx, output)
    moment = optional_time(at, "--at")
    with session.client() as client:
        show_page(session, point_lines(client.series.explain(series, moment)))


@app.command(
    "points",
    epilog=examples(
        "atalaia series points nab/cpu --from 2014-04-10 --to 2014-04-11",
        "atalaia series points nab/cpu --buckets 9",
    ),
)
def show_points(
    ctx: typer.Context,
    series: SeriesArgument,
    from_: From = None,
    to: To = None,
    buckets: Annotated[int | None, typer.Option(min=1, help="Aggregate into so many stretches of time.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the stored points of a series, or buckets of them."""
    session = session_of(ctx, output)
    start, end = optional_time(from_, "--from"), optional_time(to, "--to")
    with session.client() as client:
        if buckets is not None:
            answer = client.series.buckets(series, buckets, from_=start, to=end)
            show_rows(session, answer.buckets, _BUCKETS)
            return
        from atalaia.connectors.atalaia import Page, SeenPoint

        def fetch(rows: int, at: str | None) -> Page[SeenPoint]:
            page = client.series.points(series, from_=start, to=end, limit=rows, cursor=at)
            return Page(items=page.points, next=page.next)

        show_pages(session, fetch, _POINTS, limit=limit, cursor=cursor, member="points")


@app.command(
    "label", epilog=examples("atalaia series label 'pump 7' site=north", "atalaia series label 'pump 7' site=")
)
def label_series(
    ctx: typer.Context,
    series: SeriesArgument,
    labels: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="Labels; NAME= takes one away.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Set labels of a series."""
    session = session_of(ctx, output)
    wanted = {name: value or None for name, value in pairs(labels, "NAME=VALUE").items()}
    with session.client() as client:
        show_one(session, client.series.label(series, wanted), _SHOW)


@app.command(
    "resolve",
    epilog=examples("atalaia series resolve 'pump 7' 'pump 8'", "atalaia series resolve nab/cpu --output csv"),
)
def resolve_series(
    ctx: typer.Context,
    series: Annotated[list[str], typer.Argument(metavar="SERIES...", help="Names; those that are new are added.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Learn the numbers of series, by which batches of points may name them; numbers never change."""
    session = session_of(ctx, output)
    with session.client() as client:
        found = client.series.resolve(series)
    rows = [{"series_id": name, "number": number} for name, number in zip(series, found.series, strict=True)]
    show_rows(session, rows, _NUMBERS)
    if found.created:
        note(f"New: {found.created}.")
