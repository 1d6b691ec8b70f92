"""Rows that tell of somebody: facts, jobs and answers whose texts hold one of some names, to be deleted.

A name is found as a whole: ``pump 1`` is not named by ``pump 10``, nor by ``pump 1-b``.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, String, or_, select
from sqlalchemy import cast as as_type
from sqlalchemy.orm import InstrumentedAttribute, Session

_CHUNK = 100
_EDGE = r"[\w.\-/]"
"""What may stand in a name, so that one does not end there."""


class Mentions:
    """Looks for names."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [name for name in dict.fromkeys(names) if name]
        self._whole = frozenset(self._names)
        longest = sorted(self._names, key=len, reverse=True)
        one_of = "|".join(map(re.escape, longest))
        self._pattern = re.compile(rf"(?<!{_EDGE})(?:{one_of})(?!{_EDGE})") if longest else None

    def are_in(self, value: Any) -> bool:
        """Say whether a text, or one in a JSON value, holds a name."""
        if isinstance(value, str):
            return value in self._whole or (self._pattern is not None and self._pattern.search(value) is not None)
        if isinstance(value, dict):
            told = cast("dict[str, Any]", value)
            return any(self.are_in(one) for pair in told.items() for one in pair)
        if isinstance(value, list | tuple):
            return any(self.are_in(one) for one in cast("list[Any]", value))
        return False

    def rows(
        self,
        session: Session,
        key: Sequence[InstrumentedAttribute[Any]],
        columns: Sequence[InstrumentedAttribute[Any]],
    ) -> list[Any]:
        """Return the keys of the rows of a table in whose `columns` a name stands."""
        found: dict[Any, None] = {}
        for start in range(0, len(self._names), _CHUNK):
            some = self._names[start : start + _CHUNK]
            may = or_(*(_contains(column, name) for column in columns for name in some))
            for row in session.execute(select(*key, *columns).where(may)):
                if self.are_in(list(row[len(key) :])):
                    found[tuple(row[: len(key)])] = None
        return list(found)


def _contains(column: InstrumentedAttribute[Any], name: str) -> ColumnElement[bool]:
    """Narrow a query to rows that may hold a name; JSON is kept as text in which some characters are escaped."""
    text = as_type(column, String)
    escaped = json.dumps(name)[1:-1]
    return or_(text.contains(name, autoescape=True), text.contains(escaped, autoescape=True))
