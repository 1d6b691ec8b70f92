"""``atalaia fleets``: series that are trained together."""

from typing import Annotated

import typer

from atalaia.app.cli.output import columns, note, show_local, show_one, show_pages
from atalaia.app.cli.series import Cursor, Limit
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.core.errors import Missing

app = typer.Typer(
    no_args_is_help=True,
    help="Fleets: series that are trained together.",
    epilog=examples("atalaia fleets list", "atalaia fleets set pumps 'pump 7' 'pump 8'"),
)
_LIST = columns("fleet_id=fleet", "series_count", "source")
_SHOW = columns("fleet_id=fleet", "series_count", "source", "series")
_PLAN = columns("series_id=series", "change")
FleetArgument = Annotated[str, typer.Argument(metavar="FLEET", help="Name of the fleet.")]


@app.command("list", epilog=examples("atalaia fleets list", "atalaia fleets list --output ndjson"))
def list_fleets(
    ctx: typer.Context, limit: Limit = None, cursor: Cursor = None, output: OutputOption = Output.TABLE
) -> None:
    """List the fleets."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_pages(
            session, lambda rows, at: client.fleets.list(limit=rows, cursor=at), _LIST, limit=limit, cursor=cursor
        )


@app.command("show", epilog=examples("atalaia fleets show pumps", "atalaia fleets show pumps --output json"))
def show_fleet(ctx: typer.Context, fleet: FleetArgument, output: OutputOption = Output.TABLE) -> None:
    """Show one fleet and its first series."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.fleets.get(fleet), _SHOW)


@app.command(
    "set",
    epilog=examples("atalaia fleets set pumps 'pump 7' 'pump 8'", "atalaia fleets set pumps 'pump 7' --dry-run"),
)
def set_fleet(
    ctx: typer.Context,
    fleet: FleetArgument,
    series: Annotated[list[str], typer.Argument(metavar="SERIES...", help="Exactly the series of the fleet.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a fleet by hand of exactly these series."""
    session = session_of(ctx, output)
    with session.client() as client:
        if not dry_run:
            show_one(session, client.fleets.set(fleet, series), _SHOW)
            return
        try:
            client.fleets.get(fleet)
            now = {one.series_id for one in client.series.iterate(fleet_id=fleet)}
        except Missing:
            note(f"Fleet {fleet} would be made.")
            now = set[str]()
    show_local(session, plan(now, series), _PLAN)


def plan(now: set[str], wanted: list[str]) -> list[dict[str, str]]:
    """Return what happens to each series when a fleet of `now` becomes one of `wanted`."""
    leaving = [{"series_id": one, "change": "leaves"} for one in sorted(now - set(wanted))]
    return [{"series_id": one, "change": "stays" if one in now else "joins"} for one in wanted] + leaving
