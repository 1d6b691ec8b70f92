"""Our side of the benchmark of memory, small: so that it runs when it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.stage import names, publish_wave

pytestmark = pytest.mark.slow


def test_what_a_loaded_series_takes_is_told_by_a_process_of_its_own(tmp_path: Path) -> None:
    stage = publish_wave(tmp_path / "stage", names(5_000))
    command = [sys.executable, "-m", "bench.memory", str(stage.folder)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert 0 < float(told) < 10_000
