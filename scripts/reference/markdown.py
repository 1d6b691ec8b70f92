"""The little Markdown that the reference is made of."""

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, get_args

NOTE = "<!-- Written by `make docs` from the code. Change the code, not this page. -->"


def page(title: str, lead: str, blocks: Iterable[str]) -> str:
    """Return a whole page: note, title, one paragraph, blocks."""
    return "\n\n".join([NOTE, f"# {title}", lead, *blocks]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell may hold anything."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines)


def cell(text: str) -> str:
    """Return `text` on one line, with nothing in it that ends a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """Return `text` as code."""
    return f"`{text}`"


def first_line(docstring: str | None) -> str:
    """Return the first sentence line of a docstring."""
    return (docstring or "").strip().partition("\n")[0]


def type_text(annotation: Any) -> str:
    """Return how a type is written, without the modules it comes from."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(str(member.value) for member in annotation)
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return re.sub(r"\b(?:[a-z_]+\.)+", "", str(annotation))
