"""Prints how many bytes of memory one series takes in a process that serves a stage. Argument: its folder."""

import gc
import sys
from pathlib import Path

import numpy as np
import psutil

from atalaia.app.build import build
from atalaia.app.settings import Settings
from atalaia.core.points import FloatArray, IntArray, NumberArray


def bytes_a_series(folder: Path) -> float:
    """Return the growth of this process when all models are loaded, for each series."""
    atalaia = build(Settings(data_dir=folder))
    atalaia.serving.score_block(*_nothing())
    gc.collect()
    process = psutil.Process()
    before = process.memory_full_info().uss
    atalaia.serving.warm()
    gc.collect()
    used = process.memory_full_info().uss - before
    series = len(atalaia.serving.models.routes.names)
    atalaia.database.close()
    return used / series


def _nothing() -> tuple[NumberArray, IntArray, FloatArray]:
    return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0)


if __name__ == "__main__":
    sys.stdout.write(f"{bytes_a_series(Path(sys.argv[1])):.1f}\n")
