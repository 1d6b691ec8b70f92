"""The table of problems is complete enough to be a reference."""

import re

from atalaia.core.errors import Kind
from atalaia.core.problems import PROBLEMS


def test_codes_are_snake_case() -> None:
    assert [code for code in PROBLEMS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", code)] == []


def test_every_problem_has_a_kind_and_one_line_for_people() -> None:
    for kind, title in PROBLEMS.values():
        assert isinstance(kind, Kind)
        assert re.fullmatch(r"[A-Z][^\n]+\.", title), title


def test_every_kind_has_a_problem() -> None:
    assert {kind for kind, _ in PROBLEMS.values()} == set(Kind)
