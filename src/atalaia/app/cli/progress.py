"""Progress bars on a terminal's stderr; elsewhere nothing."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

Advance = Callable[[float], None]
"""Told how much is done in all."""


@contextmanager
def bar(title: str, total: float, *, in_bytes: bool = False) -> Generator[Advance]:
    """Show a bar while the block runs."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = DownloadColumn() if in_bytes else TaskProgressColumn()
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn(), console=Console(stderr=True)
    )
    with progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
