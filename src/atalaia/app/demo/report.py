"""What the demo shows: messages and bars on stderr, the anomalies on stdout."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from atalaia.connectors.atalaia import Anomaly

_WIDE = 10_000  # nobody's screen: a file or a pipe gets whole lines


def say(text: str) -> None:
    """Say something that is not data."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def bar(title: str, total: int) -> Generator[Callable[[int], None]]:
    """Show a bar on a terminal while the block runs; the block tells how much more is done."""
    if not (sys.stderr.isatty() and total):
        yield lambda more: None
        return
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        yield lambda more: progress.advance(task, more)


def show(anomalies: Sequence[Anomaly]) -> None:
    """Write the table of anomalies."""
    terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False)
    for heading in ("series", "from", "to"):
        table.add_column(heading, overflow="fold", no_wrap=not terminal)
    for heading in ("score", "expected", "band", "seen"):
        table.add_column(heading, justify="right", no_wrap=not terminal)
    table.add_column("model", overflow="fold", no_wrap=not terminal)
    for anomaly in anomalies:
        table.add_row(*(Text(cell) for cell in cells(anomaly)))
    Console(file=sys.stdout, width=None if terminal else _WIDE, highlight=False).print(table)


def cells(anomaly: Anomaly) -> tuple[str, ...]:
    """Return one anomaly as a person reads it, times in the zone of this machine."""
    model = anomaly.model
    return (
        anomaly.series_id,
        _local(anomaly.from_),
        _local(anomaly.to) if anomaly.to else "(open)",
        _number(anomaly.peak_score, 3),
        _number(anomaly.expected),
        f"{_number(anomaly.lower)} to {_number(anomaly.upper)}",
        _number(anomaly.seen),
        f"{model.algorithm} {model.version}",
    )


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _number(value: float | None, digits: int = 4) -> str:
    return "?" if value is None else f"{value:.{digits}g}"
