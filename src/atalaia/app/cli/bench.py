"""``atalaia bench``: how good the detectors are, on labelled data of one's own."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from atalaia.app.cli.output import columns, note, show_local
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

app = typer.Typer(
    no_args_is_help=True,
    help="Benchmarks on labelled data; nothing is sent to a service.",
    epilog=examples("atalaia bench detection --data nab", "atalaia bench detection --data skab --protocol asset"),
)
_SHOWN = columns(
    "name=detector", "vus_pr", "auc_pr", "event_f1", "recall_1fa_day", "recall_1fa_week", "promised_fa_day",
    "realised_fa_day", "recall", "precision", "nab_standard", "nab_low_fp", "f1", "far", "mar", "detection",
    "ac1", "ac3", "ac5", "avg5", "seconds_per_10k",
)  # fmt: skip
Data = Annotated[
    list[Path],
    typer.Option("--data", metavar="DIR", help="A folder of labelled series; may be given several times."),
]
ProtocolOption = Annotated[str, typer.Option("--protocol", help="whole, online, asset or cause.")]
PerWeek = Annotated[float, typer.Option("--per-week", min=0.001, help="False alarms a week that are allowed.")]
Peers = Annotated[bool, typer.Option("--peers/--no-peers", help="Run open peers beside ours.")]
MostPoints = Annotated[int, typer.Option("--max-points", min=100, help="Leave longer series out (whole).")]


@app.command(
    "detection",
    epilog=examples(
        "atalaia bench detection --data nab --data wsd -o json > figures.json",
        "atalaia bench detection --data tsbad_u --protocol whole --no-peers",
        "atalaia bench detection --data petshop --protocol cause",
    ),
)
def bench_detection(
    ctx: typer.Context,
    data: Data,
    protocol: ProtocolOption = "online",
    per_week: PerWeek = 1.0,
    peers: Peers = True,
    most_points: MostPoints = 40_000,
    output: OutputOption = Output.TABLE,
) -> None:
    """Score our detectors, and open peers beside them, on labelled data that they have not seen.

    Each file DIR/<split>/<series>.parquet holds value (or v0, v1 ...) and label, and timestamp and is_train if
    known.
    """
    session = session_of(ctx, output)
    from atalaia.app.benchmark import compare, protocol_of

    chosen = protocol_of(protocol)
    told = compare(data, chosen, per_week=per_week, peers=peers, most_points=most_points, progress=_say)
    for left in told["left_out"]:
        note(f"left out: {left['series']}: {left['reason']}")
    if output is Output.JSON:
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return
    rows = [{name: figure for name, figure in row.items() if name != "per_series"} for row in told["detectors"]]
    present = {name for row in rows for name, figure in row.items() if figure is not None}
    show_local(session, rows, [column for column in _SHOWN if column.path in present])


def _say(name: str, series: str) -> None:
    """Say on a terminal which series is judged by whom."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{name}: {series}"[:120])
        sys.stderr.flush()
