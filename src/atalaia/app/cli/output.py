"""Answers on stdout: tables for people, JSON as the API said it, CSV and NDJSON streamed across pages."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from atalaia.app.cli.session import Output, Session
from atalaia.app.cli.times import local

if TYPE_CHECKING:
    from atalaia.connectors.atalaia import Page

DEFAULT_ROWS = 100
_PAGE_ROWS = 1000
Row = dict[str, Any]
Fetch = Callable[[int, str | None], "Page[Any]"]
"""Given how many rows at most and a cursor, returns a page."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in CSV is the dotted path in the API's answer, in a table the title."""

    path: str
    title: str = ""
    is_time: bool = False

    @property
    def heading(self) -> str:
        """What a table says above it."""
        return self.title or self.path.rpartition(".")[2].replace("_", " ")

    def value(self, row: Row) -> Any:
        """Return the value in `row`, None where there is none."""
        found: Any = row
        for name in self.path.split("."):
            found = found.get(name) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return found  # pyright: ignore[reportUnknownVariableType]

    def text(self, row: Row) -> str:
        """Return the value as a person reads it."""
        value = self.value(row)
        return local(value) if self.is_time and isinstance(value, str) else readable(value)


def columns(*paths: str, times: Sequence[str] = ()) -> tuple[Column, ...]:
    """Return columns of these paths (``path=title``), of which `times` hold times."""
    split = (path.partition("=") for path in paths)
    return tuple(Column(path, title, path in times) for path, _, title in split)


def readable(value: Any) -> str:
    """Return `value` on one line without control characters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        pairs: dict[str, Any] = {**value}
        return ", ".join(f"{readable(k)}={readable(v)}" for k, v in pairs.items())
    if isinstance(value, list):
        cells: list[Any] = [*value]
        return ", ".join(readable(cell) for cell in cells)
    return "".join(c if c.isprintable() else " " for c in str(value))


def note(text: str) -> None:
    """Say something that is not data."""
    typer.echo(text, err=True)


def show_pages(
    session: Session,
    fetch: Fetch,
    shown: Sequence[Column],
    *,
    limit: int | None,
    cursor: str | None,
    member: str = "items",
) -> None:
    """Write a list.

    Parameters
    ----------
    limit
        Rows at most; None stands for 100 in a table and in JSON, and for all in CSV and NDJSON.
    member
        Where in the answer the items stand.
    """
    if session.output is Output.JSON:
        fetch(limit or DEFAULT_ROWS, cursor)
        write_body(session)
    elif session.output is Output.NDJSON:
        for page in _pages(fetch, limit, cursor):
            _write_lines(session.body, member, len(page.items))
    elif session.output is Output.CSV:
        _write_csv((row for page in _pages(fetch, limit, cursor) for row in rows_of(page.items)), shown)
    else:
        _show_some(fetch, shown, limit or DEFAULT_ROWS, cursor)


def _show_some(fetch: Fetch, shown: Sequence[Column], limit: int, cursor: str | None) -> None:
    rows: list[Row] = []
    following = None
    for page in _pages(fetch, limit, cursor):
        rows += rows_of(page.items)
        following = page.next
    show_table(rows, shown)
    if following:
        note(f"There are more: --limit {limit * 10}, --cursor {following}, or all with --output ndjson.")


def _pages(fetch: Fetch, limit: int | None, cursor: str | None) -> "Iterator[Page[Any]]":
    """Yield pages until `limit` rows have come."""
    left = limit
    while left is None or left > 0:
        page = fetch(_PAGE_ROWS if left is None else min(left, _PAGE_ROWS), cursor)
        yield page
        if page.next is None or page.next == cursor:
            return
        cursor = page.next
        left = None if left is None else left - len(page.items)


def show_one(session: Session, answer: Any, shown: Sequence[Column]) -> None:
    """Write one answer of the API; in a table a line for each field."""
    if session.output in (Output.JSON, Output.NDJSON):
        write_body(session)
        return
    (row,) = rows_of([answer])
    if session.output is Output.CSV:
        _write_csv([row], shown)
    else:
        show_table([{"field": c.heading, "value": c.text(row)} for c in shown], columns("field", "value"), False)


def show_rows(session: Session, answers: Iterable[Any], shown: Sequence[Column]) -> None:
    """Write rows that stand inside the last answer; JSON and NDJSON write that answer whole."""
    if session.output in (Output.JSON, Output.NDJSON):
        write_body(session)
    elif session.output is Output.CSV:
        _write_csv(rows_of(answers), shown)
    else:
        show_table(rows_of(answers), shown)


def show_local(session: Session, rows: Sequence[Row], shown: Sequence[Column]) -> None:
    """Write rows that were made here and not by the API."""
    if session.output is Output.JSON:
        sys.stdout.write(json.dumps({"items": list(rows)}, ensure_ascii=False) + "\n")
    elif session.output is Output.NDJSON:
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    elif session.output is Output.CSV:
        _write_csv(rows, shown)
    else:
        show_table(rows, shown)


def rows_of(answers: Iterable[Any]) -> list[Row]:
    """Return answers of the client as the API names their fields; times stay RFC 3339 in UTC."""
    import msgspec

    return [msgspec.to_builtins(answer) for answer in answers]


def write_body(session: Session) -> None:
    """Write the API's last answer as it came."""
    sys.stdout.write(session.body.decode().rstrip("\n") + "\n")


def _write_lines(body: bytes, member: str, expected: int) -> None:
    import msgspec

    if not expected:
        return
    parts = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    for item in msgspec.json.decode(parts[member], type=list[msgspec.Raw]):
        line = bytes(item)
        sys.stdout.write((msgspec.json.format(line, indent=-1) if b"\n" in line else line).decode() + "\n")


def _write_csv(rows: Iterable[Row], shown: Sequence[Column]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column.path for column in shown])
    for row in rows:
        writer.writerow([_csv_cell(column.value(row)) for column in shown])


def _csv_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value


def show_table(rows: Sequence[Row], shown: Sequence[Column], headings: bool = True) -> None:
    """Write a table: in the width of a terminal, else as wide as it needs to be."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if terminal and headings else None, show_header=headings, pad_edge=False)
    for column in shown:
        table.add_column(Text(column.heading), overflow="fold", no_wrap=not terminal)
    for row in rows:
        table.add_row(*(Text(column.text(row)) for column in shown))
    Console(file=sys.stdout, width=None if terminal else 10_000, highlight=False).print(table)
    if not rows:
        note("None found.")
