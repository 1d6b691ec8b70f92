"""A network of its own for one part, joined to ours by a cable that can be pulled."""

import itertools
import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

_NUMBERS = itertools.count()


class Network:
    """A network namespace, and a pair of virtual interfaces between it and ours.

    Attributes
    ----------
    host
        Our address of those in it.
    """

    def __init__(self) -> None:
        number = os.getpid() % 250 + 1
        self.name = f"atalaia{os.getpid()}n{next(_NUMBERS)}"
        self._ours, self._theirs = f"ata{os.getpid()}a"[:15], f"ata{os.getpid()}b"[:15]
        self._near, self.host = f"10.213.{number}.1", f"10.213.{number}.2"

    @staticmethod
    def is_possible() -> bool:
        """Say whether networks can be made here."""
        if shutil.which("ip") is None or os.geteuid() != 0:
            return False
        with Network() as made:
            return made.is_made
        return False

    @property
    def within(self) -> tuple[str, ...]:
        """What runs a command in it."""
        return ("ip", "netns", "exec", self.name)

    def __enter__(self) -> Self:
        self.is_made = all(
            _ip(*words.split())
            for words in (
                f"netns add {self.name}",
                f"link add {self._ours} type veth peer name {self._theirs} netns {self.name}",
                f"addr add {self._near}/24 dev {self._ours}",
                f"link set {self._ours} up",
                f"-n {self.name} addr add {self.host}/24 dev {self._theirs}",
                f"-n {self.name} link set {self._theirs} up",
                f"-n {self.name} link set lo up",
            )
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ip("link", "del", self._ours)
        _ip("netns", "del", self.name)

    def cut(self) -> None:
        """Pull the cable: packets vanish, and nobody is told."""
        assert _ip("-n", self.name, "link", "set", self._theirs, "down")

    def join(self) -> None:
        """Put the cable back."""
        assert _ip("-n", self.name, "link", "set", self._theirs, "up")


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, timeout=20, check=False).returncode == 0
