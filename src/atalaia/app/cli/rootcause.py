"""``atalaia rootcause``: what an incident probably began in."""

from pathlib import Path
from typing import Annotated

import typer

from atalaia.app.cli.output import columns, note, show_rows
from atalaia.app.cli.series import pairs
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.times import parse_time
from atalaia.core.errors import Fault, Invalid

_SERVICES = columns("rank", "service", "score", "explains", "own", "text=why")
_METRICS = columns(
    "service", "metric", "direction", "expected", "seen", "scales", "since", "series_id=series", times=("since",)
)
_MOST_BYTES = 1 << 24

From = Annotated[str, typer.Option("--from", help="When it began: RFC 3339, Unix seconds, or local time.")]
To = Annotated[str, typer.Option("--to", help="When it ended, or now.")]
Texts = list[str] | None


def rootcause(
    ctx: typer.Context,
    start: From,
    to: To,
    series: Annotated[Texts, typer.Option(help="Look at this series; repeatable.")] = None,
    label: Annotated[Texts, typer.Option(help="Look at series with this label, name=value; repeatable.")] = None,
    fleet: Annotated[str | None, typer.Option(help="Look at this fleet.")] = None,
    alarmed: Annotated[str | None, typer.Option(help="The series that the alarm was about.")] = None,
    alarmed_service: Annotated[str | None, typer.Option(help="Or the service that it was about.")] = None,
    alarmed_metric: Annotated[str | None, typer.Option(help="And which of its metrics.")] = None,
    graph: Annotated[
        Path | None, typer.Option(help="File of who depends on whom: a line 'caller,callee' for each edge.")
    ] = None,
    service_label: Annotated[str, typer.Option(help="Label that names the service or asset.")] = "service",
    metric_label: Annotated[str, typer.Option(help="Label that names the metric.")] = "__name__",
    traffic_metric: Annotated[str | None, typer.Option(help="The metric that counts calls.")] = None,
    bad: Annotated[Texts, typer.Option(help="Which way is bad, metric=up, down or either; repeatable.")] = None,
    history_hours: Annotated[float | None, typer.Option(help="Hours before it that say what is usual.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows at most.")] = 10,
    metrics: Annotated[bool, typer.Option("--metrics", help="Show metrics instead of services.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Rank services or assets by how likely an incident began in them, with the reasons."""
    session = session_of(ctx, output)
    with session.client() as client:
        found = client.incidents.find_cause(
            parse_time(start, "--from"),
            parse_time(to, "--to"),
            series_ids=series or (),
            fleet_id=fleet,
            labels=pairs(label, "--label"),
            edges=() if graph is None else read_edges(graph),
            alarmed_series=alarmed,
            alarmed_service=alarmed_service,
            alarmed_metric=alarmed_metric,
            service_label=service_label,
            metric_label=metric_label,
            traffic_metric=traffic_metric,
            directions=pairs(bad, "--bad") or None,
            history_hours=history_hours,
            limit=limit,
        )
    if metrics:
        show_rows(session, found.metrics, _METRICS)
    else:
        show_rows(session, found.services, _SERVICES)
    if found.left_out_count:
        first = found.left_out[0]
        note(
            f"Of {found.left_out_count} series nothing can be said, e.g. {first.series_id}: {first.reason}. "
            "--output json names them."
        )


def read_edges(file: Path) -> list[tuple[str, str]]:
    """Return the edges of a file, a line ``caller,callee`` each; empty lines and those that begin with # are none.

    Raises
    ------
    Invalid
        When it cannot be read, or a line is written otherwise.
    """
    import csv

    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _invalid(file, f"is larger than {_MOST_BYTES >> 20} MiB")
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(file, f"cannot be read: {error}") from error
    edges: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
        except csv.Error as error:
            raise _invalid(file, f"line {number}: {error}") from error
        if len(cells) != 2 or not all(cells):
            raise _invalid(file, f"line {number}: expected caller,callee")
        edges.append((cells[0], cells[1]))
    return edges


def _invalid(file: Path, reason: str) -> Invalid:
    return Invalid("invalid_file", f"--graph {file}: {reason}", faults=[Fault("/graph", reason)])


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(
        "rootcause",
        epilog=examples(
            "atalaia rootcause --from 2026-11-20T10:00:00Z --to 2026-11-20T10:15:00Z --label env=production",
            "atalaia rootcause --from 1763632800 --to 1763633700 --fleet shop --alarmed-service web --graph c.csv",
        ),
    )(rootcause)
