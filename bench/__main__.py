"""Run every benchmark and write the figures: ``make bench``, or ``python -m bench start`` for a part."""

import sys
from collections.abc import Callable, Sequence

from bench.history import history
from bench.ingest import ingest
from bench.report import Figure, write
from bench.start import help_text, second_run

PARTS: dict[str, Callable[[], Sequence[Figure]]] = {
    "start": lambda: [second_run(), help_text()],
    "ingest": ingest,
    "history": history,
}


def main(names: Sequence[str]) -> int:
    """Run the named parts, all of them without names; return 1 when a target was missed."""
    chosen = list(names) or list(PARTS)
    figures = [figure for name in chosen for figure in PARTS[name]()]
    write("spine.json" if not names else f"spine-{'-'.join(chosen)}.json", figures)
    return 0 if all(figure.passed for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
