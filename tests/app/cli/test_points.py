"""``atalaia points``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atalaia.app.cli.points import MAX_BATCH

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

ACCEPTED = {"accepted": 3, "series": 2, "created": 1}


def test_files_are_sent_in_batches_and_summed(service: "Service", tmp_path: Path) -> None:
    service.answers["POST /points"] = ACCEPTED
    (tmp_path / "a.csv").write_text("timestamp,value\n1,1\n2,2\n3,\n4,4\n")
    (tmp_path / "b.ndjson").write_text('{"timestamp":1,"value":2}\n')
    result = service.run(
        "points", "import", str(tmp_path / "a.csv"), str(tmp_path / "b.ndjson"), "--batch", "2", "-o", "json"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = json.loads(result.stdout)["items"]
    assert (first["points"], first["created"], first["missing"], second["points"]) == (6, 2, 1, 3)
    assert [len(body["values"]) for body in service.sent("POST")] == [2, 1, 1]
    assert service.sent("POST")[0] == {"series_ids": ["a", "a"], "timestamps": [1.0, 2.0], "values": [1.0, 2.0]}
    assert len({r.headers["Idempotency-Key"] for r in service.requests}) == 3


def test_every_flag_of_an_import_is_heeded(service: "Service", tmp_path: Path) -> None:
    service.answers["POST /points"] = ACCEPTED
    (tmp_path / "w.csv").write_text("t,x,y\n1000,1,2\n2000,3,4\n3000,5,6\n")
    result = service.run(
        "points", "import", str(tmp_path / "w.csv"), "--layout", "wide", "--prefix", "p/", "--timestamp-column",
        "t", "--unit", "ms", "--from", "2", "--until", "3",
    )  # fmt: skip
    assert result.exit_code == 0
    assert service.sent("POST") == [{"series_ids": ["p/x", "p/y"], "timestamps": [2.0, 2.0], "values": [3.0, 4.0]}]


def test_a_broken_file_says_what_was_sent_before(service: "Service", tmp_path: Path) -> None:
    service.answers["POST /points"] = ACCEPTED
    (tmp_path / "a.csv").write_text("timestamp,value\n1,1\n2,abc\n")
    (tmp_path / "b.ndjson").write_text('{"timestamp":1,"value":2}\n{"timestamp":2,"value":3}\n{')
    assert service.run("points", "import", str(tmp_path / "a.csv")).exit_code == 2
    assert not service.requests
    result = service.run("points", "import", str(tmp_path / "b.ndjson"), "--batch", "1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "6 points of" in result.stderr
    assert "line 3: is not JSON" in result.stderr


@pytest.mark.parametrize("flags", [["--layout", "tall"], ["--unit", "h"], ["--batch", str(MAX_BATCH + 1)]])
def test_an_import_refuses_flags_that_mean_nothing(service: "Service", tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "a.csv").write_text("timestamp,value\n1,1\n")
    assert service.run("points", "import", str(tmp_path / "a.csv"), *flags).exit_code == 2


def test_one_point_is_sent(service: "Service") -> None:
    service.answers["POST /points"] = ACCEPTED
    assert service.run("points", "add", "a b", "-3.5", "--at", "1397114100").exit_code == 0
    assert service.sent("POST") == [
        {"points": [{"series_id": "a b", "value": -3.5, "timestamp": "2014-04-10T07:15:00Z"}]}
    ]


def test_a_point_without_a_time_was_seen_now(service: "Service") -> None:
    service.answers["POST /points"] = ACCEPTED
    service.run("points", "add", "a", "1")
    assert service.sent("POST")[0]["points"][0]["timestamp"].startswith("20")
