"""Single points beside peers, in one run: ``make bench-peers``, or ``python -m bench.peers kserve`` for some.

Each peer is installed into an environment of its own under `var/bench-peers` when it is first needed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.load import Load, Target, measured, post
from bench.report import Figure, bounded, less_is_better, more_is_better, write
from bench.servers import atalaia_command, free_port
from bench.stage import SERIES, Published, names, publish_wave

HERE = Path(__file__).parent
HOME = Path("var/bench-peers").absolute()
V2 = '{"inputs": [{"name": "value", "shape": [1], "datatype": "FP64", "data": [0.315]}]}'
ONE = '{"timestamp": 1733587200, "value": 0.315}'
PEAK_PER_S = 2_850
DESIGN_CORES = 72
_RANDOM = """
math.randomseed(7)
local axes = {"radial", "axial", "tangential"}
local function name()
  local i = math.random(0, LAST)
  return string.format("sensor_%06d_%s", math.floor(i / 3), axes[i % 3 + 1])
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
""".replace("LAST", str(SERIES - 1))
PREDICT = (
    _RANDOM
    + f"""
wrk.body = '{ONE}'
request = function() return wrk.format(nil, "/api/v1/predict/" .. name()) end
"""
)
INFER = (
    _RANDOM
    + """
request = function()
  local body = '{"inputs": [{"name": "series_id", "shape": [1], "datatype": "BYTES", "data": ["' .. name() ..
    '"]}, {"name": "value", "shape": [1], "datatype": "FP64", "data": [0.315]}]}'
  return wrk.format(nil, "/v2/models/atalaia/infer", nil, body)
end
"""
)


def environment_of(peer: str) -> Path:
    """Return the folder with the programs of a peer, installed if needed."""
    programs = HOME / peer / "bin"
    mark = HOME / peer / ".installed"
    wanted = (HERE / f"{peer}.txt").read_text()
    if not mark.exists() or mark.read_text() != wanted:
        sys.stderr.write(f"installing {peer} into {HOME / peer}\n")
        subprocess.run([sys.executable, "-m", "venv", str(HOME / peer)], check=True)
        pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, "-r", str(HERE / f"{peer}.txt")], check=True)
        mark.write_text(wanted)
    return programs


def fastapi_noop() -> Target:
    """Return bare uvicorn with FastAPI."""
    port = free_port()
    command = [sys.executable, str(HERE / "fastapi_noop.py"), str(port)]
    url = f"http://127.0.0.1:{port}"
    script = post("/api/v1/predict/sensor_000001_radial", ONE)
    return Target("FastAPI, no-op", command, url, f"{url}/ready", script, os.environ)


def ours(stage: Published, script: str) -> Target:
    """Return Atalaia as it comes, with 285,000 models in Production."""
    port = free_port()
    command = atalaia_command("run", "predictor", "--data-dir", str(stage.folder), "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    return Target("Atalaia", command, url, f"{url}/api/v1/readiness", script, os.environ)


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
    return Target(f"MLServer, {how}", command, url, f"{url}/v2/models/zscore/ready", script, environment)


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


def log_model_s(count: int = 20) -> float:
    """Return the median seconds of MLflow's default ``log_model``."""
    python = str(environment_of("mlflow") / "python")
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(HERE / "mlflow_log_model.py"), folder, str(count)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds: list[float] = sorted(json.loads(told.splitlines()[-1]))
    return seconds[len(seconds) // 2]


def serving(stage: Published, peers: Sequence[str], scratch: Path) -> list[Figure]:
    """Measure single points: ours, the no-op before and after, then the peers."""
    bare = measured(fastapi_noop())
    single = measured(ours(stage, PREDICT))
    infer = measured(ours(stage, INFER))
    again = measured(fastapi_noop())
    noop = min(bare, again, key=lambda run: run.cpu_us)
    calmest = min(bare.p99_ms, again.p99_ms)
    cores = single.cpu_us * PEAK_PER_S / 1e6
    name, unit = "predict_single", "requests/CPU-s"
    rate = 1e6 / single.cpu_us
    figures = [
        more_is_better(name, rate, unit, "FastAPI, no-op", 1e6 / noop.cpu_us, reach=2.5),
        less_is_better("predict_single_p99", single.p99_ms, "ms", "FastAPI, no-op", calmest, reach=1 / 0.6),
        bounded("predict_single_p99_absolute", single.p99_ms, "ms", "FastAPI, no-op", calmest, at_most=100),
        bounded("cores_for_2850_per_s", cores, "cores", "the reference design", DESIGN_CORES, at_most=0.15),
        more_is_better("predict_single_wall", single.per_s, "requests/s", "FastAPI, no-op", noop.per_s, reach=1.0),
    ]
    _tell("FastAPI, no-op", noop)
    _tell("Atalaia predict", single)
    _tell("Atalaia V2 infer", infer)
    makers: dict[str, tuple[Callable[[], Target], float]] = {
        "kserve-v1": (lambda: kserve("V1"), 1.0),
        "kserve-v2": (lambda: kserve("V2"), 12.0),
        "mlserver-in-process": (lambda: mlserver(0, _folder(scratch, "in_process")), 1.0),
        "mlserver-as-shipped": (lambda: mlserver(1, _folder(scratch, "as_shipped")), 20.0),
        "bentoml": (bento, 18.0),
        "mlflow": (lambda: mlflow(_folder(scratch, "mlflow")), 50.0),
    }
    for peer in peers or makers:
        target, reach = makers[peer][0](), makers[peer][1]
        run = measured(target)
        _tell(target.name, run)
        figures.append(more_is_better(f"{name}_vs_{peer}", rate, unit, target.name, 1e6 / run.cpu_us, reach=reach))
        if peer == "kserve-v2":
            per_cpu = 1e6 / infer.cpu_us
            figures.append(
                more_is_better("oip_v2_single", per_cpu, unit, target.name, 1e6 / run.cpu_us, reach=10.0)
            )
    return figures


def publishing(stage: Published) -> Figure:
    """Compare the publication of a wave with MLflow's default way, one model a series."""
    each = log_model_s()
    ours_s = stage.publish_s + stage.load_s
    name = f"log_model of 20, {each:.1f} s each, x {SERIES:,}"
    return less_is_better("publish_wave", ours_s, "s", name, each * SERIES, reach=10_000)


def main(peers: Sequence[str]) -> int:
    """Measure, and write into `bench/results/fleet.json`; return 1 when a target was missed."""
    with tempfile.TemporaryDirectory() as folder:
        stage = publish_wave(Path(folder) / "stage", names())
        figures = serving(stage, peers, Path(folder))
        if not peers:
            figures.append(publishing(stage))
    write("fleet.json", figures)
    return 0 if all(figure.passed for figure in figures) else 1


def _folder(scratch: Path, name: str) -> Path:
    (scratch / name).mkdir()
    return scratch / name


def _tell(name: str, run: Load) -> None:
    sys.stderr.write(
        f"{name:28} {run.cpu_us:9.1f} us CPU/request  {run.per_s:9,.0f} requests/s"
        f"  P50 {run.p50_ms:7.2f} ms  P99 {run.p99_ms:7.2f} ms\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
