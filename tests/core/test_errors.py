"""Every kind of error has a status, an exit code and a class."""

import pytest

from atalaia.core.errors import (
    ERROR_OF_KIND,
    EXIT_CODE,
    HTTP_STATUS,
    RETRIES,
    AtalaiaError,
    Broken,
    Fault,
    Invalid,
    Kind,
    Unavailable,
)


@pytest.mark.parametrize("table", [HTTP_STATUS, EXIT_CODE, ERROR_OF_KIND])
def test_every_kind_stands_in_every_table(table: dict[Kind, object]) -> None:
    assert set(table) == set(Kind)


@pytest.mark.parametrize("table", [HTTP_STATUS, EXIT_CODE])
def test_no_two_kinds_look_the_same_from_outside(table: dict[Kind, int]) -> None:
    assert len(set(table.values())) == len(Kind)


def test_statuses_are_errors_and_exit_codes_are_not_success() -> None:
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())
    assert sorted(EXIT_CODE.values()) == list(range(1, 9))


@pytest.mark.parametrize("kind", Kind)
def test_an_error_knows_its_kind_and_whether_to_try_again(kind: Kind) -> None:
    error = ERROR_OF_KIND[kind]("some_code", "what happened")
    assert error.kind is kind
    assert error.retries is (kind in RETRIES)
    assert isinstance(error, AtalaiaError)


def test_only_what_may_pass_by_itself_is_tried_again() -> None:
    assert {Kind.UNAVAILABLE, Kind.BUSY, Kind.STALE} == RETRIES


def test_an_error_carries_what_a_caller_needs() -> None:
    fault = Fault("/points/17/value", "expected a number")
    error = Invalid("invalid_points", "point 17 is wrong", faults=[fault])
    assert (error.code, error.detail, str(error)) == ("invalid_points", "point 17 is wrong", "point 17 is wrong")
    assert error.faults == (fault,)
    assert error.retry_after_s is None
    assert Unavailable("disk_full", "full", retry_after_s=30).retry_after_s == 30


def test_an_error_without_a_kind_is_our_own_fault() -> None:
    assert AtalaiaError.kind is Kind.BROKEN
    assert Broken("internal_error", "x").retries is False


def test_the_tree_in_the_documentation_is_the_tree() -> None:
    text = AtalaiaError.__init__.__globals__["__doc__"]
    rows = [line.split() for line in text.splitlines() if "exit" in line and "──" in line]
    drawn = {
        row[1]: (int(row[row.index("exit") - 1]), int(row[row.index("exit") + 1]), "retry" in row) for row in rows
    }
    real = {
        error.__name__: (HTTP_STATUS[kind], EXIT_CODE[kind], kind in RETRIES)
        for kind, error in ERROR_OF_KIND.items()
    }
    assert drawn == real
