"""Parts are known by name, and one that misses its target does not hide behind the others."""

import json
from pathlib import Path

import pytest

from bench import report
from bench.parts import check_names, run
from bench.report import bounded


def test_an_unknown_name_ends_the_program_before_anything_runs() -> None:
    with pytest.raises(SystemExit, match="there is no fleet; choose from tick, train"):
        check_names(["tick", "fleet"], ["tick", "train"])


def test_each_part_is_written_and_a_miss_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    good, bad = (
        bounded("good", 1.0, "s", "the bound", 2.0, at_most=2.0),
        bounded("bad", 3.0, "s", "it", 2.0, at_most=2.0),
    )
    assert run("some.json", {"a": lambda: [good]})
    assert not run("some.json", {"b": lambda: [bad], "a": lambda: [good]})
    assert [row["name"] for row in json.loads((tmp_path / "some.json").read_text())] == ["good", "bad"]
