"""Keys come from files that lie elsewhere, and are found again by what an envelope tells of them."""

import base64
from pathlib import Path

import pytest

from atalaia.core.errors import Broken, Invalid
from atalaia.kit.envelopes import salt_in, seal, unseal
from atalaia.kit.keyring import EncryptionSettings, Keyring, Secret, keyring_of

KEY = bytes(range(32))
PHRASE = b"correct horse battery"


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def ring(folder: Path, **told: object) -> Keyring:
    return keyring_of(EncryptionSettings.model_validate(told), folder / "data")


def sealed(keyring: Keyring) -> bytes:
    return b"".join(seal(keyring, "a", b"data"))


def opens(keyring: Keyring, data: bytes) -> bool:
    try:
        return bytes(unseal(keyring, "a", data)) == b"data"
    except Broken as error:
        return error.code != "unknown_key"


def refusal(folder: Path, **told: object) -> str:
    with pytest.raises(Invalid) as refused:
        ring(folder, **told)
    assert refused.value.code == "invalid_settings"
    return refused.value.faults[0].pointer


def test_without_a_key_nothing_is_sealed(tmp_path: Path) -> None:
    keyring = ring(tmp_path)
    assert not keyring
    assert not keyring.seals


def test_a_key_is_the_same_raw_or_in_base64(tmp_path: Path) -> None:
    raw = ring(tmp_path, key_file=written(tmp_path / "raw", KEY))
    told = ring(tmp_path, key_file=written(tmp_path / "told", base64.b64encode(KEY) + b"\n"))
    assert opens(told, sealed(raw))
    assert not opens(ring(tmp_path, key_file=written(tmp_path / "other", bytes(32))), sealed(raw))


def test_a_passphrase_opens_what_was_sealed_under_any_salt(tmp_path: Path) -> None:
    file = written(tmp_path / "phrase", PHRASE + b"\n")
    first, second = ring(tmp_path, passphrase_file=file), ring(tmp_path, passphrase_file=file)
    assert salt_in(sealed(first)) != salt_in(sealed(second))
    assert opens(second, sealed(first))
    assert not opens(Keyring(Secret(PHRASE + b"!", is_key=False)), sealed(first))
    found = second.find(first.current().key_id, first.current().salt)
    assert found is not None
    assert found.is_current


def test_earlier_secrets_open_and_do_not_seal(tmp_path: Path) -> None:
    key, phrase = written(tmp_path / "key", KEY), written(tmp_path / "phrase", PHRASE)
    by_key, by_phrase = ring(tmp_path, key_file=key), ring(tmp_path, passphrase_file=phrase)
    new = ring(tmp_path, key_file=written(tmp_path / "new", bytes(32)), previous=[key, phrase])
    for earlier in (by_key, by_phrase):
        assert opens(new, sealed(earlier))
        assert not opens(earlier, sealed(new))
    alone = ring(tmp_path, previous=[key])
    assert opens(alone, sealed(by_key))
    assert not alone.seals


def test_an_earlier_passphrase_may_look_like_a_key(tmp_path: Path) -> None:
    phrase = written(tmp_path / "phrase", b"p" * 32)
    by_phrase = ring(tmp_path, passphrase_file=phrase)
    assert opens(ring(tmp_path, previous=[phrase]), sealed(by_phrase))


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    key, short = written(tmp_path / "key", KEY), written(tmp_path / "short", b"short")
    assert refusal(tmp_path, key_file=short) == "/encryption/key_file"
    assert refusal(tmp_path, key_file=tmp_path / "none") == "/encryption/key_file"
    assert refusal(tmp_path, passphrase_file=short) == "/encryption/passphrase_file"
    assert refusal(tmp_path, key_file=key, passphrase_file=key) == "/encryption/passphrase_file"
    assert refusal(tmp_path, key_file=key, previous=[key, short]) == "/encryption/previous/1"
    assert refusal(tmp_path, blobs=True) == "/encryption/blobs"
    assert refusal(tmp_path, require=True) == "/encryption/require"


def test_a_key_that_lies_beside_what_it_opens_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data/secrets").mkdir(parents=True)
    inside = written(tmp_path / "data/secrets/key", KEY)
    (tmp_path / "link").symlink_to(inside)
    assert refusal(tmp_path, key_file=inside) == "/encryption/key_file"
    assert refusal(tmp_path, key_file=tmp_path / "link") == "/encryption/key_file"
    assert refusal(tmp_path, previous=[inside]) == "/encryption/previous/0"


def test_many_salts_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atalaia.kit.keyring._REMEMBERED", 2)
    keyring = Keyring(Secret(PHRASE, is_key=False))
    for salt in range(1, 5):
        assert keyring.find(bytes(16), bytes([salt]) * 16) is None
    assert len(keyring._derived) == 2
    assert opens(keyring, sealed(keyring))
