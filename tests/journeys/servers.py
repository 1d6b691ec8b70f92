"""Services as processes of their own, on free ports of loopback; each test stops what it started, by its pid."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from atalaia.connectors.atalaia import Client, Retry

ATALAIA = Path(sys.executable).parent / "atalaia"
PATIENCE_S = 60.0
T = TypeVar("T")

NO_RETRY = Retry(attempts=1)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until(look: Callable[[], T | None], what: str, *, timeout_s: float = PATIENCE_S, pause_s: float = 0.05) -> T:
    """Return what `look` finds, once that is neither None nor false; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain: {what}"
        time.sleep(pause_s)


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of a process with these settings, written ``signals.retention_days``."""
    names = {f"ATALAIA_{name.upper().replace('.', '__')}": str(value) for name, value in settings.items()}
    return {**os.environ, **names}


class Server:
    """One process of `atalaia up` or `atalaia run ROLE` on a data folder; may be started again and again.

    Its output is appended to a file beside the folder.

    Attributes
    ----------
    variables
        What stands in its environment besides settings.
    """

    def __init__(self, data_dir: Path, *, role: str | None = None, **settings: Any) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.with_name(f"{data_dir.name}-{role or 'up'}.log")
        self._command = ["run", role] if role else ["up"]
        named = {name.replace("__", "."): value for name, value in settings.items()}
        self._environment = environment(named)
        self.variables: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_s: list[float] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill() if error else self.stop()

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start the process; return once it is ready, unless told not to wait."""
        assert self._process is None
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        flags = ["--data-dir", str(self.data_dir), "--port", str(self.port)]
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [ATALAIA, *self._command, *flags],
                cwd=self.data_dir.parent,
                env={**self._environment, **self.variables},
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_ready()
            self.ready_s.append(time.monotonic() - began)

    def start_unless_running(self) -> None:
        """Start the process if there is none."""
        if self._process is None:
            self.start()

    def wait_ready(self) -> None:
        """Return once the service says that it is ready."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=5) as http:
            until(lambda: self._is_ready(http), f"{self.url} to be ready", pause_s=0.02)

    def kill(self) -> None:
        """End the process as ``kill -9`` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End the process as an operator does; return its exit status."""
        return self._end(signal.SIGTERM)

    def client(self, *, retry: Retry | None = None, timeout_s: float = 30.0) -> Client:
        """Return a client of the service."""
        return Client(self.url, retry=retry, timeout_s=timeout_s)

    def http(self) -> httpx.Client:
        """Return a plain HTTP client of the service, for what the client would not send."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def _is_ready(self, http: httpx.Client) -> bool:
        assert self._process is not None
        status = self._process.poll()
        assert status is None, f"it ended with {status}: {self.log.read_text()[-2000:]}"
        try:
            return http.get("/api/v1/readiness").status_code == 200
        except httpx.TransportError:
            return False

    def _end(self, with_signal: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(with_signal)
        try:
            return process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def run_cli(*args: str, cwd: Path, url: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `atalaia` as a process of its own; fail when it does, unless told otherwise."""
    done = subprocess.run(
        [ATALAIA, *args],
        cwd=cwd,
        env={**os.environ, **({"ATALAIA_URL": url} if url else {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert done.returncode == 0 or not check, f"atalaia {args}: exit {done.returncode}: {done.stderr}"
    return done


def metric(text: str, name: str, **labels: str) -> float:
    """Return the sum of the samples of `name` in a Prometheus text whose labels include `labels`."""
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            total += float(found[2])
    return total
