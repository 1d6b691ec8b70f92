"""Servers that answer one z-score, each as its documentation has it, and bare FastAPI that answers nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.load import Target, post
from bench.peers.environments import HERE, environment_of
from bench.servers import free_port

ONE = '{"timestamp": 1733587200, "value": 0.315}'
V2 = '{"inputs": [{"name": "value", "shape": [1], "datatype": "FP64", "data": [0.315]}]}'


def fastapi_noop() -> Target:
    """Return bare uvicorn with FastAPI."""
    port = free_port()
    command = [sys.executable, str(HERE / "fastapi_noop.py"), str(port)]
    url = f"http://127.0.0.1:{port}"
    script = post("/api/v1/predict/sensor_000001_radial", ONE)
    return Target("FastAPI, no-op", command, url, f"{url}/ready", script, os.environ)


def kserve(version: str) -> Target:
    """Return KServe's ModelServer."""
    port, grpc = free_port(), free_port()
    python = str(environment_of("kserve") / "python")
    command = [python, str(HERE / "kserve_zscore.py"), "--http_port", str(port), "--grpc_port", str(grpc)]
    url = f"http://127.0.0.1:{port}"
    v1 = post("/v1/models/zscore:predict", '{"instances": [0.315]}')
    script = v1 if version == "V1" else post("/v2/models/zscore/infer", V2)
    name = f"KServe ModelServer, {version}"
    return Target(name, command, url, f"{url}/v2/models/zscore/ready", script, os.environ)


def mlserver(parallel_workers: int, folder: Path) -> Target:
    """Return MLServer: as shipped it has one worker process beside the server, in process none."""
    ports = [free_port() for _ in range(3)]
    names = ("http_port", "grpc_port", "metrics_port")
    settings = {"parallel_workers": parallel_workers, **dict(zip(names, ports, strict=True))}
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "zscore", "implementation": "mlserver_zscore.ZScore"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "mlserver_zscore.py").write_text((HERE / "mlserver_zscore.py").read_text())
    command = [str(environment_of("mlserver") / "mlserver"), "start", str(folder)]
    url = f"http://127.0.0.1:{ports[0]}"
    how = "as shipped" if parallel_workers else "in process"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    script = post("/v2/models/zscore/infer", V2)
    ready = f"{url}/v2/models/zscore/ready"
    return Target(f"MLServer, {how}", command, url, ready, script, environment, folder)  # it writes where it stands


def bento() -> Target:
    """Return BentoML as it comes."""
    port = free_port()
    command = [str(environment_of("bentoml") / "bentoml"), "serve", "bentoml_zscore:ZScore", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "BENTOML_DO_NOT_TRACK": "True"}
    return Target("BentoML", command, url, f"{url}/readyz", post("/predict", ONE), environment, HERE)


def mlflow(folder: Path) -> Target:
    """Return ``mlflow models serve``."""
    port = free_port()
    programs = environment_of("mlflow")
    model = folder / "model"
    subprocess.run([str(programs / "python"), str(HERE / "mlflow_zscore.py"), str(model)], check=True)
    command = [str(programs / "mlflow"), "models", "serve", "-m", str(model), "-p", str(port)]
    command += ["--env-manager", "local", "--workers", "1"]
    url = f"http://127.0.0.1:{port}"
    body = '{"dataframe_split": {"columns": ["value"], "data": [[0.315]]}}'
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    script = post("/invocations", body)
    return Target("mlflow models serve", command, url, f"{url}/ping", script, environment)


PEERS: dict[str, tuple[Callable[[Path], Target], float]] = {
    "kserve-v1": (lambda _: kserve("V1"), 1.0),
    "kserve-v2": (lambda _: kserve("V2"), 12.0),
    "mlserver-in-process": (lambda folder: mlserver(0, folder), 1.0),
    "mlserver-as-shipped": (lambda folder: mlserver(1, folder), 20.0),
    "bentoml": (lambda _: bento(), 18.0),
    "mlflow": (mlflow, 50.0),
}
"""How each peer is made, with a folder for it, and how many times more requests a CPU-second we should answer."""
