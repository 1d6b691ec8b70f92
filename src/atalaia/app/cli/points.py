"""``atalaia points``: data goes in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atalaia.app.cli.output import columns, note, show_local, show_one
from atalaia.app.cli.progress import Advance, bar
from atalaia.app.cli.series import SeriesArgument
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.times import optional_time, optional_us
from atalaia.core.errors import AtalaiaError

if TYPE_CHECKING:
    from atalaia.connectors.atalaia import Client
    from atalaia.connectors.pointfiles import Reading, Shape, Unit

app = typer.Typer(
    no_args_is_help=True,
    help="Send points.",
    epilog=examples("atalaia points import pumps.csv", "atalaia points add 'pump 7' 91.5"),
)
_ACCEPTED = columns("accepted", "series", "created=new series")
_SUMMARY = columns("file", "points", "created=new series", "missing=missing values")
MAX_BATCH = 100_000


@app.command(
    "add",
    context_settings={"ignore_unknown_options": True},  # -3.5 is a value
    epilog=examples("atalaia points add 'pump 7' 91.5", "atalaia points add pump7 -3.5 --at 2014-04-10T07:15:00Z"),
)
def add_point(
    ctx: typer.Context,
    series: SeriesArgument,
    value: Annotated[float, typer.Argument(metavar="VALUE", help="What was seen.")],
    at: Annotated[str | None, typer.Option(help="When: RFC 3339, Unix seconds, local time. Default: now.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send one point."""
    from atalaia.connectors.atalaia import Point
    from atalaia.core.clock import utc_now

    session = session_of(ctx, output)
    moment = optional_time(at, "--at") or utc_now()
    with session.client() as client:
        show_one(session, client.points.add([Point(series, moment, value)]), _ACCEPTED)


@app.command(
    "import",
    epilog=examples(
        "atalaia points import pumps.csv --zone Europe/Lisbon",
        "atalaia points import nab/*.parquet --prefix nab/",
        "atalaia points import wide.csv --layout wide --timestamp-column time --unit ms",
    ),
)
def import_points(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV, Parquet or NDJSON.")],
    series: Annotated[str | None, typer.Option(help="Name of the only series. Default: the file's name.")] = None,
    prefix: Annotated[str, typer.Option(help="Put before every name that comes from the file.")] = "",
    layout: Annotated[str, typer.Option(help="auto, long (series column), wide (a column each), single.")] = "auto",
    timestamp_column: Annotated[str, typer.Option(help="Column with the times.")] = "timestamp",
    value_column: Annotated[str, typer.Option(help="Column with the values.")] = "value",
    series_column: Annotated[str, typer.Option(help="Column with the names of the series.")] = "series_id",
    unit: Annotated[str, typer.Option(help="What numeric times count: s, ms, us or ns.")] = "s",
    zone: Annotated[str, typer.Option(help="Zone of times that are written without one.")] = "UTC",
    batch: Annotated[int, typer.Option(min=1, max=MAX_BATCH, help="Points in a request.")] = 10_000,
    from_: Annotated[str | None, typer.Option("--from", help="Only points at or after this time.")] = None,
    until: Annotated[str | None, typer.Option(help="Only points before this time.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send files of points; safe to repeat, a point that is there already is kept once."""
    from atalaia.connectors.pointfiles import Reading, Shape, Unit

    session = session_of(ctx, output)
    reading = Reading(
        shape=Shape(one_of(layout, Shape, "--layout")),
        series=series,
        prefix=prefix,
        timestamp_column=timestamp_column,
        value_column=value_column,
        series_column=series_column,
        unit=Unit(one_of(unit, Unit, "--unit")),
        zone=zone,
        batch=batch,
        from_us=optional_us(from_, "--from"),
        to_us=optional_us(until, "--until"),
    )
    with session.client() as client:
        rows = _send_all(client, files, reading)
    show_local(session, rows, _SUMMARY)


def one_of(text: str, choices: "type[Shape] | type[Unit]", option: str) -> str:
    """Return `text` if it is one of `choices`; said as a wrong use of `option` if not."""
    if text not in list(choices):
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(choices)}", param_hint=option)
    return text


def _send_all(client: "Client", files: list[Path], reading: "Reading") -> list[dict[str, object]]:
    sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
    rows: list[dict[str, object]] = []
    with bar("importing", sum(sizes), in_bytes=True) as advance:
        for position, path in enumerate(files):
            before = sum(sizes[:position])
            rows.append(_send(client, path, reading, lambda done, before=before: advance(before + done)))
    return rows


def _send(client: "Client", path: Path, reading: "Reading", advance: Advance) -> dict[str, object]:
    from atalaia.connectors.atalaia import Columns
    from atalaia.connectors.pointfiles import read

    points = created = missing = 0
    try:
        for batch in read(path, reading, advance):
            missing += batch.missing
            if len(batch):
                answer = client.points.add(Columns(batch.series_ids, batch.timestamps, batch.values))
                points += answer.accepted
                created += answer.created
    except AtalaiaError:
        if points:
            note(f"{points:,} points of {path} were accepted before this; run it again, none will be there twice.")
        raise
    return {"file": str(path), "points": points, "created": created, "missing": missing}
