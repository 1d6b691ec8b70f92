"""Files of the journal: one is open and grows, those that are closed are exported, then kept for a while.

``audit/journal/<process>-<number>.journal`` in the data folder; exported ones move to ``audit/exported``. Whoever
writes a file holds a lock on it, which the kernel gives up when its process dies, however that dies.
"""

import fcntl
import mmap
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".journal"
WAITING, EXPORTED = "journal", "exported"


class OpenSegment:
    """A file that grows; it is made anew, and locked."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.path = folder / f"{name}{SUFFIX}"
        self.size = 0
        self.is_dirty = False
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """Hand parts to the kernel, from where they survive the end of this process; all of them, or none.

        Raises
        ------
        OSError
            When there is no space, or the disk is gone.
        """
        wanted = sum(memoryview(part).nbytes for part in parts)
        try:
            done = os.writev(self._file, parts)
            rest = memoryview(b"".join(parts))[done:] if done < wanted else memoryview(b"")
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        self.size += wanted
        self.is_dirty = True

    def sync(self) -> None:
        """Make what was appended durable."""
        if self.is_dirty:
            self.is_dirty = False
            os.fdatasync(self._file)

    def close(self) -> None:
        """Make it durable, and let others have it."""
        try:
            with suppress(OSError):
                self.sync()
        finally:
            os.close(self._file)


def segments(folder: Path) -> list[Path]:
    """Return the files of a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def process_of(name: str) -> tuple[str, int]:
    """Return the process that wrote a segment, and the number that it gave it."""
    process, _, number = name.rpartition("-")
    return process, int(number) if number.isdigit() else 0


@contextmanager
def claimed(path: Path) -> Generator[int | None]:
    """Yield an open file that nobody writes any more, locked; None when somebody does, or it is gone."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield None
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def is_being_written(path: Path) -> bool:
    """Say whether a process holds a segment open."""
    with claimed(path) as file:
        return file is None and path.exists()


@contextmanager
def mapped(path: Path) -> Generator[memoryview]:
    """Yield the bytes of a file as they are now, without reading them all."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            yield memoryview(b"")
            return
        # Views of frames may outlive the block; the memory is given back when the last of them is gone.
        yield memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
