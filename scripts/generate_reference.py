"""Write docs/reference from the code: settings, commands, metrics, facts, problems and the API.

``make docs`` runs it. With ``--check`` it writes nothing, and fails with the difference if a page is stale.
"""

import argparse
import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from scripts.reference import api, commands, settings, tables

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
DIFFERENCE_LINES = 30

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "cli.md": commands.page,
    "metrics.md": tables.metrics_page,
    "facts.md": tables.facts_page,
    "problems.md": tables.problems_page,
    "api.md": api.page,
    "openapi.json": api.snapshot,
}


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description="Write docs/reference from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    if parser.parse_args().check:
        differences = stale(FOLDER)
        print("\n".join(differences), file=sys.stderr)
        return 1 if differences else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    print(f"docs: {len(PAGES)} pages in docs/reference")
    return 0


def stale(folder: Path) -> list[str]:
    """Return, for every page in `folder` that is not what the code says, the beginning of the difference."""
    found: list[str] = []
    for name, page in PAGES.items():
        path = folder / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = page()
        if old != new:
            rows = list(
                difflib.unified_diff(old.splitlines(), new.splitlines(), name, "the code", lineterm="", n=1)
            )
            more = [f"... {len(rows) - DIFFERENCE_LINES} more lines"] if len(rows) > DIFFERENCE_LINES else []
            found += [f"docs/reference/{name} is stale; run `make docs`", *rows[:DIFFERENCE_LINES], *more]
    return found


if __name__ == "__main__":
    sys.exit(main())
