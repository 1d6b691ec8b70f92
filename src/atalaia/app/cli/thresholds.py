"""``atalaia thresholds`` and ``atalaia budgets``: how strange is strange enough."""

from typing import Annotated

import typer

from atalaia.app.cli.fleets import FleetArgument
from atalaia.app.cli.output import columns, note, show_one, show_rows
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

app = typer.Typer(
    no_args_is_help=True,
    help="Thresholds of series: what moved them, and back.",
    epilog=examples("atalaia thresholds show 'pump 7'", "atalaia thresholds undo 'pump 7' 12"),
)
budgets = typer.Typer(
    no_args_is_help=True,
    help="Budgets: false alarms that a fleet may give.",
    epilog=examples("atalaia budgets set pumps --per-day 20", "atalaia budgets show pumps"),
)
_SHOW = columns("in_force", "calibrated", "factor", "false_alarms_per_week=false alarms a week")
_CHANGES = columns(
    "change_id=change", "kind", "factor", "anomaly_id=anomaly", "at", "undone_at=taken back",
    times=("at", "undone_at"),
)  # fmt: skip
_BUDGET = columns(
    "fleet_id=fleet", "series_count", "false_alarms_per_day=promised a day", "sensitivity", "since", "days",
    "alarms_per_day=alarms a day", "realised_over_promised", "correction",
    times=("since",),
)  # fmt: skip
SeriesArgument = Annotated[str, typer.Argument(metavar="SERIES", help="Id of the series.")]


@app.command(
    "show",
    epilog=examples("atalaia thresholds show 'pump 7'", "atalaia thresholds show 'pump 7' -o json | jq .in_force"),
)
def show_threshold(ctx: typer.Context, series: SeriesArgument, output: OutputOption = Output.TABLE) -> None:
    """Show where the threshold of a series lies, in parts of its model's own, and what moved it."""
    session = session_of(ctx, output)
    with session.client() as client:
        told = client.thresholds.get(series)
        if output is Output.TABLE:
            note(told.text)
            show_rows(session, told.changes, _CHANGES)
        else:
            show_one(session, told, _SHOW)


@app.command(
    "set", epilog=examples("atalaia thresholds set 'pump 7' 1.5", "atalaia thresholds set 'pump 7' 1 -o json")
)
def set_threshold(
    ctx: typer.Context,
    series: SeriesArgument,
    factor: Annotated[float, typer.Argument(metavar="FACTOR", help="Times the model's own; 1 is as it was made.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Move the threshold of a series, whatever was said of its anomalies."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.thresholds.set(series, factor), _SHOW)


@app.command(
    "undo", epilog=examples("atalaia thresholds undo 'pump 7' 12", "atalaia thresholds undo 'pump 7' 12 -o json")
)
def undo_change(
    ctx: typer.Context,
    series: SeriesArgument,
    change: Annotated[int, typer.Argument(metavar="CHANGE", help="As `thresholds show` names it.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Take back one change of the threshold of a series."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.thresholds.undo(series, change), _SHOW)


@budgets.command("show", epilog=examples("atalaia budgets show pumps", "atalaia budgets show pumps -o json"))
def show_budget(ctx: typer.Context, fleet: FleetArgument, output: OutputOption = Output.TABLE) -> None:
    """Show how many false alarms a fleet may give, and how many it gave."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.budgets.get(fleet), _BUDGET)


@budgets.command(
    "set", epilog=examples("atalaia budgets set pumps --per-day 20", "atalaia budgets set pumps --sensitivity 0.8")
)
def set_budget(
    ctx: typer.Context,
    fleet: FleetArgument,
    per_day: Annotated[
        float | None, typer.Option("--per-day", help="False alarms a day of the whole fleet.")
    ] = None,
    sensitivity: Annotated[
        float | None,
        typer.Option(help="0 to 1; 0.8 is one false alarm a series and week, each fifth more ten times as many."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let a fleet give so many false alarms; the thresholds of its series follow."""
    session = session_of(ctx, output)
    with session.client() as client:
        asked = client.budgets.set(fleet, false_alarms_per_day=per_day, sensitivity=sensitivity)
        show_one(session, asked, _BUDGET)


@budgets.command("drop", epilog=examples("atalaia budgets drop pumps", "atalaia budgets drop 'hall 2'"))
def drop_budget(ctx: typer.Context, fleet: FleetArgument) -> None:
    """Let the detectors of a fleet have their own thresholds again."""
    with session_of(ctx, Output.TABLE).client() as client:
        client.budgets.drop(fleet)
    note(f"Fleet {fleet} has no budget any more.")
