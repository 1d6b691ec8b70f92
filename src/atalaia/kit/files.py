"""Files that others may read at any moment: they are there whole, or as they were."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, for its owner's eyes, in one step: who reads meanwhile, or after a crash, finds old or new.

    Raises
    ------
    OSError
        When the disk is full, say; the file is then as it was.
    """
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
