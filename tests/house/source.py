"""How the laws read the repository. A law is a function from source text to sins, one sentence each."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = "src/atalaia"
ALL_CODE = ("src", "tests", "bench", "scripts")
GENERATED = ("build", "dist", "htmlcov", "mlruns", "node_modules", "var")

BASH = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Law = Callable[[str, str], list[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sins(law: Law, *rooms: str) -> list[str]:
    """Return what `law` finds in every Python file of `rooms`."""
    return [sin for name in python_files(*rooms) for sin in law(name, read(name))]


@cache
def python_files(*rooms: str) -> tuple[str, ...]:
    """Return the Python files of `rooms`, relative to the repository, sorted."""
    return tuple(sorted(str(p.relative_to(ROOT)) for room in rooms for p in (ROOT / room).rglob("*.py")))


@cache
def documents() -> tuple[str, ...]:
    """Return every Markdown file of the repository, relative to it, sorted."""
    return tuple(name for name in tracked_files() if name.endswith(".md"))


@cache
def tracked_files() -> tuple[str, ...]:
    """Return every file that is not an output, relative to the repository, sorted.

    It does not ask git: the tests must also pass in an unpacked archive.
    """
    return tuple(sorted(str(path.relative_to(ROOT)) for path in _walk(ROOT)))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name not in (".ci", ".github")
            if not hidden and path.name not in GENERATED and path.name != "__pycache__":
                yield from _walk(path)
        elif path.name != ".git":
            yield path


@cache
def read(name: str) -> str:
    """Return the text of a file, named relative to the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def parse(text: str) -> ast.Module:
    """Return the syntax tree of `text`."""
    return ast.parse(text)


def functions(text: str) -> list[Function]:
    """Return every function and method in `text`, nested ones too."""
    return [node for node in ast.walk(parse(text)) if isinstance(node, Function)]


def bash_lines(text: str) -> list[str]:
    """Return the commands of every ``bash`` block of a document, one a line."""
    lines = [line for block in BASH.findall(text) for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [line for line in lines if line.strip() and not line.startswith("#")]
