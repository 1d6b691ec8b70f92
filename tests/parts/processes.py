"""Real parts as processes of their own on free ports of loopback: started, stopped, killed and started again."""

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.journeys.servers import until

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-parts" / "bin"
"""Where `make setup-parts` puts parts that come from pip."""
NODE = ROOT / "tests" / "parts" / "node"
START_S = 90.0


class Part:
    """One process, which may be stopped and started again; it keeps its port and its folder.

    Parameters
    ----------
    folder
        Where its data and its log lie.
    command
        What is run.
    is_up
        Whether it answers; what this raises counts as no.
    user
        Whose rights it has, when the tests run as root.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str | Path],
        is_up: Callable[[], bool],
        *,
        user: str | None = None,
        variables: Mapping[str, str] | None = None,
        stop_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.folder = folder
        self.log = folder / "part.log"
        self._command = [str(word) for word in command]
        self._is_up = is_up
        self._user = user
        self._variables = dict(variables or {})
        self._stop_by = stop_by
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start the process; return once it answers, unless told not to wait."""
        assert self._process is None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                as_user(self._command, self._user),
                cwd=self.folder,
                env={**os.environ, **self._variables},
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_up()

    def wait_up(self) -> None:
        """Return once it answers."""
        until(self._answers, f"{self._command[0]} to answer", timeout_s=START_S)

    def stop(self) -> None:
        """End it as an operator does; nothing happens if it does not run."""
        self._end(self._stop_by)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hold its connections and do nothing: the slowest that a part can be."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        assert self._process is not None
        status = self._process.poll()
        assert status is None, f"{self._command[0]} ended with {status}: {self.log.read_text()[-2000:]}"
        try:
            return self._is_up()
        except Exception:
            return False

    def _end(self, by: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        if by is not signal.SIGKILL:
            process.send_signal(signal.SIGCONT)
        process.send_signal(by)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def owned(folder: Path, user: str) -> Path:
    """Make a folder that `user` may use when the tests run as root, with everything above it."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        for above in folder.parents:
            if above.stat().st_uid == 0 and above.stat().st_mode & 0o001 == 0:
                above.chmod(above.stat().st_mode | 0o011)
    return folder


def as_user(command: Sequence[str], user: str | None) -> list[str]:
    """Return the command with the rights of `user`, when the tests run as root.

    Python itself would have to fork for that, which a large process may not have the memory for.
    """
    if user is None or os.geteuid() != 0:
        return list(command)
    return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups", "--", *command]


def run(
    command: Sequence[str | Path], *, user: str | None = None, variables: Mapping[str, str] | None = None
) -> str:
    """Run a command to its end and return what it printed; fail when it does."""
    done = subprocess.run(
        as_user([str(word) for word in command], user),
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_gone(is_up: Callable[[], bool], what: str) -> None:
    """Return once something does not answer any more."""

    def gone() -> bool:
        try:
            return not is_up()
        except Exception:
            return True

    until(gone, what)
    time.sleep(0)
