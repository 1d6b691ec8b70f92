"""Sealed bytes open with their key and under their name, and a change anywhere in them is found."""

import base64
import os
from pathlib import Path

import pytest

from atalaia.core.errors import AtalaiaError, Broken, Denied, Invalid
from atalaia.kit.sealing import Sealer, sealer_of

KEY = bytes(range(32))


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(KEY, is_key=True)


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 2**21, 2**21 + 5])
def test_what_was_sealed_opens(sealer: Sealer, size: int) -> None:
    data = os.urandom(size)
    sealed = sealer.seal(data, b"name")
    assert sealer.open(sealed, b"name") == data
    assert size < 16 or data not in sealed


def test_a_changed_byte_anywhere_is_found(sealer: Sealer) -> None:
    sealed = sealer.seal(b"0123456789", b"name")
    for position in range(len(sealed)):
        bad = bytearray(sealed)
        bad[position] ^= 1
        with pytest.raises(AtalaiaError):
            sealer.open(bytes(bad), b"name")


def test_pieces_cannot_be_left_out_or_change_places(sealer: Sealer) -> None:
    sealed = sealer.seal(os.urandom(3 * 2**20), b"name")
    head, step = len(sealed) - 3 * (2**20 + 16), 2**20 + 16
    first, second, third = (sealed[head + n * step : head + (n + 1) * step] for n in range(3))
    for body in (first + second, second + first + third, first + third, first + second + third + third, b""):
        with pytest.raises(Broken):
            sealer.open(sealed[:head] + body, b"name")


def test_another_name_or_key_does_not_open(sealer: Sealer) -> None:
    sealed = sealer.seal(b"data", b"name")
    with pytest.raises(Denied):
        sealer.open(sealed, b"other")
    with pytest.raises(Denied):
        Sealer(bytes(32), is_key=True).open(sealed, b"name")
    with pytest.raises(Broken):
        sealer.open(b"data")


def test_a_passphrase_opens_what_another_process_has_sealed_with_it() -> None:
    sealed = Sealer(b"correct horse battery", is_key=False).seal(b"data")
    again = Sealer(b"correct horse battery", is_key=False)
    assert again.open(sealed) == b"data"
    with pytest.raises(Denied):
        Sealer(b"correct horse batterY", is_key=False).open(sealed)
    assert again.seal(b"more")[8:24] == sealed[8:24]  # it goes on with the salt, so that names stay


def test_names_are_the_same_for_the_same_key_and_tell_nothing(sealer: Sealer) -> None:
    assert sealer.name("text") == Sealer(KEY, is_key=True).name("text")
    assert sealer.name("text") != Sealer(bytes(32), is_key=True).name("text")


def test_secrets_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    assert sealer_of(None, None, "backup") is None
    for content in (KEY, base64.b64encode(KEY) + b"\n"):
        file.write_bytes(content)
        found = sealer_of(None, file, "backup")
        assert found is not None
        assert found.open(Sealer(KEY, is_key=True).seal(b"data")) == b"data"
    file.write_text("a long passphrase\n")
    found = sealer_of(file, None, "backup")
    assert found is not None
    assert found.open(Sealer(b"a long passphrase", is_key=False).seal(b"data")) == b"data"


def test_unusable_secrets_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short")
    for passphrase, key in ((file, None), (None, file), (file, file), (tmp_path / "none", None)):
        with pytest.raises(Invalid, match="backup"):
            sealer_of(passphrase, key, "backup")
