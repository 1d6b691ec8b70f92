"""Memory of one series with a z-score model in a serving process, beside a scikit-learn IsolationForest.

``python -m bench.memory FOLDER`` prints ours: each is measured in a process of its own.
"""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil

from atalaia.app.build import build
from atalaia.app.settings import Settings
from atalaia.core.points import FloatArray, IntArray, NumberArray
from bench.peers.environments import HERE, environment_of
from bench.report import Figure, less_is_better
from bench.stage import Published

FORESTS = 50


def memory(stage: Published) -> list[Figure]:
    """Compare a series of the stage, all of which are loaded, with a forest as it is kept in memory."""
    ours = _told([sys.executable, "-m", "bench.memory", str(stage.folder)])
    python = str(environment_of("mlflow") / "python")
    theirs = _told([python, str(HERE / "forest_memory.py"), str(FORESTS)])
    name = f"scikit-learn IsolationForest, 100 trees, mean of {FORESTS}; ours of {stage.series:,}"
    return [less_is_better("memory_of_a_zscore_series", ours, "bytes", name, theirs, reach=5_000)]


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


def _told(command: list[str]) -> float:
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])


if __name__ == "__main__":
    sys.stdout.write(f"{bytes_a_series(Path(sys.argv[1])):.1f}\n")
