"""A wave of models becomes readable by the server, beside MLflow's default way: one ``log_model`` a series."""

import json
import subprocess
import tempfile

from bench.peers.environments import HERE, environment_of
from bench.report import Figure, less_is_better
from bench.stage import Published

COUNT = 20


def publishing(stage: Published) -> list[Figure]:
    """Compare the publication of a wave with MLflow's, of which some are measured and the others extrapolated."""
    each = _log_model_s()
    ours = stage.publish_s + stage.load_s
    name = f"log_model of {COUNT}, {each:.1f} s each, x {stage.series:,}"
    return [less_is_better("publish_wave", ours, "s", name, each * stage.series, reach=10_000)]


def _log_model_s() -> float:
    """Return the median seconds of MLflow's default ``log_model``."""
    python = str(environment_of("mlflow") / "python")
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(HERE / "mlflow_log_model.py"), folder, str(COUNT)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds: list[float] = sorted(json.loads(told.splitlines()[-1]))
    return seconds[len(seconds) // 2]
