"""Load on a server by wrk, and what a request costs the server: processor time of its process tree."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

CONNECTIONS = 64
_DONE = """
done = function(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  local told = string.format("%d %d %d %.3f %.3f %.6f", summary.requests, errors.status, broken,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, summary.duration / 1e6)
  io.write("RESULT " .. told .. "\\n")
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of load showed.

    Attributes
    ----------
    cpu_us
        Processor time, user and system, of the server's process tree, for each completed request.
    per_s
        Requests a second of wall time; the load generator takes its share of the machine.
    """

    requests: int
    cpu_us: float
    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load.

    Attributes
    ----------
    script
        Lua for wrk that says what is sent.
    """

    name: str
    command: Sequence[str]
    url: str
    ready: str
    script: str
    environment: Mapping[str, str]
    folder: Path | None = None


def post(path: str, body: str, headers: Mapping[str, str] | None = None) -> str:
    """Return the script that posts one body again and again."""
    more = "".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in (headers or {}).items()
    )
    return f"""
wrk.method = "POST"
wrk.path = {json.dumps(path)}
wrk.headers["Content-Type"] = "application/json"
{more}wrk.body = {json.dumps(body)}
"""


@contextmanager
def started(target: Target, *, timeout_s: float = 180) -> Generator[psutil.Process]:
    """Start the server in a process group of its own, wait until it answers, and end the group afterwards."""
    log = tempfile.TemporaryFile()
    with subprocess.Popen(
        target.command,
        env=dict(target.environment),
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd=target.folder,
    ) as process:
        try:
            _wait(target, process, timeout_s)
            yield psutil.Process(process.pid)
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            log.close()


def loaded(target: Target, process: psutil.Process, seconds: float, *, connections: int = CONNECTIONS) -> Load:
    """Put load on a server for some seconds.

    Raises
    ------
    RuntimeError
        When not every request was answered well.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(target.script + _DONE)
        script.flush()
        before = _cpu_s(process)
        command = [_wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", script.name, target.url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        used = _cpu_s(process) - before
    result = next(line for line in told.splitlines() if line.startswith("RESULT")).split()[1:]
    requests, refused, broken = (int(number) for number in result[:3])
    p50_ms, p99_ms, took_s = (float(number) for number in result[3:])
    if refused or broken or not requests:
        raise RuntimeError(f"{target.name}: {requests} answered, {refused} refused, {broken} broken")
    return Load(requests, used / requests * 1e6, requests / took_s, p50_ms, p99_ms)


def measured(target: Target, *, warm_s: float = 3, seconds: float = 4, passes: int = 3) -> Load:
    """Return the pass with the median cost, after a warm-up."""
    with started(target) as process:
        loaded(target, process, warm_s)
        runs = sorted((loaded(target, process, seconds) for _ in range(passes)), key=lambda run: run.cpu_us)
        return runs[len(runs) // 2]


def _cpu_s(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in family)


def _wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise RuntimeError(
            "wrk is missing; `make bench-peers` installs it with apt-get where it may, else install it"
        )
    return found


def _wait(target: Target, process: "subprocess.Popen[bytes]", timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(target.ready, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{target.name} did not start")
        time.sleep(0.05)
