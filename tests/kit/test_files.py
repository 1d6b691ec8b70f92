"""A file that others read is there whole, or as it was."""

from pathlib import Path
from typing import Any

import pytest

from atalaia.kit.files import write_whole


def test_a_file_is_replaced_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [path]


def test_what_cannot_be_written_leaves_the_old_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "told.json"
    write_whole(path, b"old")

    def full(_: Any) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]
