"""``atalaia bench detection``: no service is asked."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.app.test_benchmark import write_set

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


def test_figures_come_as_one_object(service: "Service", tmp_path: Path) -> None:
    folder = str(write_set(tmp_path / "hosts"))
    done = service.run("bench", "detection", "--data", folder, "--no-peers", "--output", "json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["protocol"], told["data"], told["series"]) == ("online", ["hosts"], 2)
    assert [row["name"] for row in told["detectors"]] == ["fleet", "strong", "lstm", "autoencoder"]
    assert not service.requests


def test_people_get_a_table_and_scripts_a_csv(service: "Service", tmp_path: Path) -> None:
    folder = str(write_set(tmp_path / "hosts"))
    table = service.run("bench", "detection", "--data", folder, "--protocol", "whole", "--no-peers")
    assert "vus pr" in table.stdout
    told = service.run("bench", "detection", "--data", folder, "--protocol", "whole", "--no-peers", "-o", "csv")
    (row,) = csv.DictReader(io.StringIO(told.stdout))
    assert row["name"] == "strong"
    assert float(row["vus_pr"]) > 0.5


def test_what_is_left_out_is_said(service: "Service", tmp_path: Path) -> None:
    folder = str(write_set(tmp_path / "hosts"))
    done = service.run("bench", "detection", "--data", folder, "--protocol", "whole", "--max-points", "1000")
    assert done.exit_code == 0
    assert "left out: host-0: it has 1200 points" in done.stderr


def test_wrong_input_has_an_exit_code_and_a_reason(service: "Service", tmp_path: Path) -> None:
    gone = service.run("bench", "detection", "--data", str(tmp_path / "gone"))
    assert gone.exit_code != 0
    assert "is not a folder" in gone.stderr
    odd = service.run("bench", "detection", "--data", str(tmp_path), "--protocol", "sideways")
    assert odd.exit_code == gone.exit_code
    assert "choose one of" in odd.stderr
