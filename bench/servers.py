"""Servers in processes of their own, and the processor time that they use."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

BASELINE = """
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Point(BaseModel):
    series_id: str
    timestamp: float | str
    value: float


class Points(BaseModel):
    points: list[Point]


app = FastAPI()


@app.get("/api/v1/readiness")
async def ready() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/api/v1/points")
async def points(body: Points) -> dict[str, int]:
    return {"accepted": len(body.points)}


uvicorn.run(app, port=PORT, log_level="warning")
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str
    process: psutil.Process
    ready_s: float

    def cpu_s(self) -> float:
        """Return the processor time, user and system, of the process and its children so far."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in family)


@contextmanager
def running(command: Sequence[str], port: int, environment: Mapping[str, str]) -> Generator[Server]:
    """Start a server, wait until it is ready, and stop it afterwards."""
    started = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}/api/v1/readiness", process)
            yield Server(url, psutil.Process(process.pid), time.perf_counter() - started)
        finally:
            process.terminate()
            process.wait(30)


def baseline_command(port: int) -> list[str]:
    """Return the command of a FastAPI server that validates points with pydantic and throws them away."""
    return [sys.executable, "-c", BASELINE.replace("PORT", str(port))]


def atalaia_command(*arguments: str) -> list[str]:
    """Return a command of the command line that is installed beside this Python."""
    return [str(Path(sys.executable).parent / "atalaia"), *arguments]


def free_port() -> int:
    """Return a port of loopback that nobody uses right now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait(url: str, process: "subprocess.Popen[bytes]", timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no server at {url}")
        time.sleep(0.005)
