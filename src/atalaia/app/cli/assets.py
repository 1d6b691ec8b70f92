"""``atalaia assets``: series that are sensors of one thing, and moments of all of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atalaia.app.cli.output import columns, note, show_pages, show_rows
from atalaia.app.cli.series import Cursor, Limit, pairs
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.times import optional_time, parse_time
from atalaia.core.errors import Fault, Invalid

if TYPE_CHECKING:
    from atalaia.connectors.atalaia.assets import Readings

app = typer.Typer(
    no_args_is_help=True,
    help="Assets: series that are sensors of one thing.",
    epilog=examples("atalaia assets list", "atalaia assets score 'press 3' flow=31.2 heat=71"),
)
_LIST = columns("asset_id=asset", "sensor_count=sensors", "production_version=production", "latest_version=latest")
_SHOW = columns("series_id=sensor", "is_member=member", "is_learnt=learnt", "points", "missing")
_SCORE = columns(
    "timestamp=time", "is_anomaly=anomaly", "score", "sensors=deviating", "missing", times=("timestamp",)
)
_MOST_BYTES = 1 << 24
AssetArgument = Annotated[str, typer.Argument(metavar="ASSET", help="Name of the asset.")]


@app.command("list", epilog=examples("atalaia assets list", "atalaia assets list --output ndjson"))
def list_assets(
    ctx: typer.Context, limit: Limit = None, cursor: Cursor = None, output: OutputOption = Output.TABLE
) -> None:
    """List the assets, as the labels of series tell them."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_pages(
            session, lambda rows, at: client.assets.list(limit=rows, cursor=at), _LIST, limit=limit, cursor=cursor
        )


@app.command("show", epilog=examples("atalaia assets show 'press 3'", "atalaia assets show 'press 3' -o json"))
def show_asset(ctx: typer.Context, asset: AssetArgument, output: OutputOption = Output.TABLE) -> None:
    """Show the sensors of an asset, and what its model has learnt of each."""
    session = session_of(ctx, output)
    with session.client() as client:
        found = client.assets.get(asset)
        show_rows(session, found.sensors, _SHOW)
    if output is Output.TABLE:
        version = found.production_version or "no version"
        step = "" if found.step_s is None else f", a moment every {found.step_s:g} s"
        note(f"{found.asset_id}: {version} in Production ({found.algorithm or 'untrained'}){step}.")


@app.command(
    "score",
    epilog=examples(
        "atalaia assets score 'press 3' flow=31.2 heat=71 power=4.1",
        "atalaia assets score 'press 3' --file run.csv",
    ),
)
def score_asset(
    ctx: typer.Context,
    asset: AssetArgument,
    readings: Annotated[
        list[str] | None, typer.Argument(metavar="SENSOR=VALUE...", help="What sensors show; others were not read.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="When: RFC 3339, Unix seconds, local time. Default: now.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="CSV of several moments: a column of times, then one for each sensor.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Score moments of an asset without keeping them."""
    from atalaia.core.clock import utc_now

    session = session_of(ctx, output)
    if (file is None) == (not readings):
        raise typer.BadParameter("give readings, or a --file of them", param_hint="SENSOR=VALUE")
    moments: list[Readings]
    if file is not None:
        moments = read_moments(file)
    else:
        given = pairs(readings, "SENSOR=VALUE")
        values = {name: number(text, name) for name, text in given.items()}
        moments = [(optional_time(at, "--at") or utc_now(), values)]
    with session.client() as client:
        show_rows(session, client.assets.score(asset, moments).moments, _SCORE)


def read_moments(file: Path) -> "list[Readings]":
    """Return the moments of a CSV file, the times in its first column; an empty cell was not read.

    Raises
    ------
    Invalid
        When it is no such file, or larger than 16 MiB.
    """
    import csv

    try:
        if file.stat().st_size > _MOST_BYTES:
            raise _bad_file(file, f"it is larger than {_MOST_BYTES >> 20} MiB")
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad_file(file, str(error)) from error
    if len(rows) < 2 or len(rows[0]) < 2 or len(set(rows[0])) != len(rows[0]):
        raise _bad_file(file, "it needs a line of different names, and a line for each moment")
    found: list[Readings] = []
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise _bad_file(file, f"line {line} has {len(row)} cells, not {len(rows[0])}")
        cells = zip(rows[0][1:], row[1:], strict=True)
        values = {name: number(text, f"line {line}, {name}") if text.strip() else None for name, text in cells}
        found.append((parse_time(row[0], f"line {line}"), values))
    return found


def number(text: str, where: str) -> float:
    """Return `text` as a number.

    Raises
    ------
    Invalid
        When it is none.
    """
    try:
        return float(text)
    except ValueError as error:
        reason = f"{where[:80]}: {text[:40]!r} is no number"
        raise Invalid("invalid_pair", reason, faults=[Fault(where[:80], reason)]) from error


def _bad_file(file: Path, reason: str) -> Invalid:
    return Invalid("invalid_file", f"{file}: {reason}", faults=[Fault("--file", reason)])
