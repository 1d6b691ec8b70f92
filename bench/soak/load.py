"""The generator as a process beside the site, and what it has told so far."""

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from bench.soak.plan import Plan
from bench.soak.site import Site

_ROOT = Path(__file__).resolve().parents[2]
_END_S = 180.0


class Load:
    """Puts the load of a plan on a site.

    Attributes
    ----------
    seconds
        What was done, second by second.
    errors
        Answers that were errors: when, at which door, with which status and code.
    """

    def __init__(self, site: Site, plan: Plan, numbers: list[int]) -> None:
        self._told: dict[str, Any] = {
            "plan": asdict(plan),
            "numbers": numbers,
            "predictor_port": site.roles["predictor"].port,
            "api_port": site.roles["api"].port,
        }
        self._thread = threading.Thread(target=self._read, name="load", daemon=True)
        self.seconds: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}
        self.began = self.stopped = 0.0
        self.cpu_s = 0.0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.soak.generator"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self.began = time.monotonic()
        self._process.stdin.write(json.dumps(self._told) + "\n")
        self._process.stdin.flush()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._thread.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def stop(self) -> None:
        """Begin nothing new, and return once all that was sent is acknowledged."""
        times = psutil.Process(self._process.pid).cpu_times()
        self.cpu_s, self.stopped = times.user + times.system, time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_END_S)
        self._thread.join(10)

    @property
    def acknowledged(self) -> int:
        """How many batches were acknowledged: all that were begun, in the end."""
        return int(self.last.get("acknowledged", 0))

    def rate(self, what: str) -> float:
        """Return how much was done in a second, from the start to the stop."""
        return sum(second[what] for second in list(self.seconds)) / max(1e-9, self.stopped - self.began)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "door" in told:
                self.errors.append(told)
            elif "done" in told:
                self.last = told
            elif "predictions" in told:
                self.seconds.append(told)
