"""A thread that does one thing again and again until it is told to stop."""

import threading
from collections.abc import Callable

import structlog

from atalaia.core.errors import AtalaiaError

_log = structlog.get_logger(__name__)


class Loop:
    """Calls `step` whenever it is woken, and every `every_s` seconds, but not again before `pause_s` seconds.

    The pause lets small pieces of work gather, so that what a step costs is paid once for many of them.

    `step` returns whether there is more to do at once. What it raises is logged, and it is called again after
    `every_s`: a fault outside (a full disk, a database that is down) must not end the loop.
    """

    def __init__(self, name: str, step: Callable[[], bool], *, every_s: float, pause_s: float = 0.0) -> None:
        self._name = name
        self._step = step
        self._every_s = every_s
        self._pause_s = pause_s
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"atalaia-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Call `step` soon."""
        self._wake.set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Let the current step end, and stop."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                more = self._step()
            except AtalaiaError as error:
                _log.error("loop_failed", loop=self._name, code=error.code, detail=error.detail)
                more = False
            except Exception:
                _log.exception("loop_failed", loop=self._name)
                more = False
            if not more:
                self._wake.wait(self._every_s)
            self._stopping.wait(self._pause_s)
            self._wake.clear()
