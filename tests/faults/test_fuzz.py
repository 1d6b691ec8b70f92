"""Damaged input never gets further than a refusal; `python -m tests.faults.fuzz` does the same a million times."""

import pytest

from tests.faults.fuzz import Target, fuzz, main, targets

pytestmark = pytest.mark.slow

CASES = 10_000
PARSERS = targets()
MOST_GROWTH_BYTES = 64 * 2**20


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_input_is_read_or_refused(name: str) -> None:
    found = fuzz(PARSERS[name], CASES, seed=7)
    assert 0 < found.accepted < CASES
    assert found.grown_bytes < MOST_GROWTH_BYTES


def test_another_error_is_told_with_the_input_that_made_it() -> None:
    def read(data: bytes) -> None:
        if data != b"valid":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fuzz(Target([b"valid"], read), 10)
    assert "bytes.fromhex(" in caught.value.__notes__[0]


def test_the_command_reports_each_parser(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    main(["--cases", "100", "--parser", "content_encodings"])
    assert capsys.readouterr().out.startswith("content_encodings           100 cases,")
