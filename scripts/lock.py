"""Write constraints.txt: one exact pin for everything in the environment, and for what builds the package.

Run by ``make lock`` after a dependency was added or upgraded in ``.venv``.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# Exact versions of everything that Atalaia is built, run and tested with. Written by `make lock`.\n"
PIN = re.compile(r"^[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+$")


def main() -> int:
    """Write the file and say how many pins it holds."""
    pins = sorted({*installed(), *builders()}, key=str.lower)
    odd = [pin for pin in pins if not PIN.match(pin)]
    if odd:
        print(f"lock: not a plain pin, install it from the index instead: {', '.join(odd)}", file=sys.stderr)
        return 1
    (ROOT / "constraints.txt").write_text(HEAD + "\n".join(pins) + "\n")
    print(f"lock: {len(pins)} pins in constraints.txt")
    return 0


def installed() -> list[str]:
    """Return the pins of what stands in this environment, without Atalaia itself.

    A build for one kind of machine (``2.13.0+cpu``) is pinned as its release: other indexes have other builds.
    """
    return [pin.partition("+")[0] for pin in pip("freeze", "--exclude-editable").split()]


def builders() -> list[str]:
    """Return the pins of the build system, which pip installs into an environment of its own."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    report = json.loads(pip("install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", *wanted))
    built = [item["metadata"] for item in report["install"]]
    here = {pin.partition("==")[0].lower() for pin in installed()}
    return [f"{item['name']}=={item['version']}" for item in built if item["name"].lower() not in here]


def pip(*arguments: str) -> str:
    """Return what pip prints."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
