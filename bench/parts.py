"""Parts of a benchmark: chosen by name, run one after the other, written as soon as each has ended."""

from collections.abc import Callable, Collection, Mapping, Sequence

from bench.report import Figure, write

Part = Callable[[], Sequence[Figure]]


def check_names(names: Sequence[str], known: Collection[str]) -> None:
    """End the program when a name is not known, before anything runs for minutes.

    Raises
    ------
    SystemExit
        With what there is to choose from.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"there is no {', '.join(unknown)}; choose from {', '.join(known)}")


def run(file: str, parts: Mapping[str, Part]) -> bool:
    """Run parts and write the figures of each; return whether all reached their targets."""
    passed = True
    for part in parts.values():
        figures = part()
        write(file, figures)
        passed &= all(figure.passed for figure in figures)
    return passed
