"""Soak a site and write what it showed: ``make soak MINUTES=30``, or ``python -m bench.soak --minutes 2``."""

import argparse
import sys

from bench.report import write
from bench.soak.course import Wanted, soak
from bench.soak.figures import figures, told


def main() -> int:
    """Soak; return 1 when something was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long")
    parser.add_argument("--predictions", type=float, default=1_000, help="predictions a second")
    parser.add_argument("--points", type=float, default=3_000, help="points a second")
    parser.add_argument("--every", type=float, default=120, help="seconds from one fault to the next")
    parser.add_argument("--no-mlflow", action="store_true", help="keep the registry in the data folder")
    parser.add_argument("--dry", action="store_true", help="write no file")
    asked = parser.parse_args()
    seconds = asked.minutes * 60
    wanted = Wanted(
        seconds,
        asked.predictions,
        asked.points,
        every_s=asked.every,
        lasts_s=min(15.0, asked.every / 3),
        warm_up_s=min(420.0, seconds / 4),
        mlflow=not asked.no_mlflow,
    )
    outcome = soak(wanted)
    sys.stdout.write(told(outcome))
    found = figures(outcome)
    if asked.dry:
        sys.stdout.write(
            "\n".join(f"{'ok  ' if f.passed else 'MISS'} {f.name} {f.value:.4g} {f.unit}" for f in found)
        )
        sys.stdout.write("\n")
    else:
        write("production.json", found)
    return 0 if all(figure.passed for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
