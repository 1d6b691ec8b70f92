"""Secrets that lie in clear are sealed at a start, whole or not at all, and only their key opens them."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from atalaia.core.errors import Invalid
from atalaia.kit.auth.signing import load_key
from atalaia.kit.envelopes import is_sealed
from atalaia.kit.keyring import EncryptionSettings, Keyring
from atalaia.kit.keys import SECRETS, read_secret
from atalaia.kit.privacy import Privacy, PrivacySettings
from atalaia.kit.signatures import Signatures, SigningSettings
from atalaia.kit.vault import keyring_in, open_vault
from tests.kit.fakes import DYING

CHECK = "encryption.check"
RULES = PrivacySettings.model_validate({"rules": [{"where": "labels", "match": "user", "action": "hash"}]})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def told(folder: Path, name: str, data: bytes | None = None, **more: object) -> EncryptionSettings:
    file = folder.parent / name
    file.write_bytes(data or name[-1:].encode() * 32)
    return EncryptionSettings.model_validate({"key_file": file, **more})


def filled(folder: Path, keyring: Keyring | None = None) -> tuple[str, str, str]:
    """Return what tells the three secrets apart, which are made if need be."""
    return (
        load_key(None, folder, keyring).key_id,
        Signatures(SigningSettings(), folder, keyring).public_key()[0],
        Privacy(RULES, folder, keyring).pseudonym("ada"),
    )


def lying(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / SECRETS).iterdir()}


def test_without_a_key_secrets_lie_in_clear_for_their_owner_alone(data: Path) -> None:
    before = filled(data, open_vault(data, EncryptionSettings()))
    files = lying(data)
    assert set(files) == {"signing_key.pem", "model_key.pem", "privacy.key"}
    assert not any(is_sealed(content) for content in files.values())
    assert {stat.S_IMODE((data / SECRETS / name).stat().st_mode) for name in files} == {0o600}
    assert filled(data) == before


def test_what_is_made_with_a_key_is_sealed(data: Path) -> None:
    keyring = open_vault(data, told(data, "key1"))
    before = filled(data, keyring)
    files = lying(data)
    assert set(files) == {"signing_key.pem", "model_key.pem", "privacy.key", CHECK}
    assert all(is_sealed(content) and b"PRIVATE" not in content for content in files.values())
    assert {stat.S_IMODE((data / SECRETS / name).stat().st_mode) for name in files} == {0o600}
    assert filled(data, open_vault(data, told(data, "key1"))) == before
    assert lying(data) == files


def test_what_lay_there_in_clear_is_sealed_at_the_next_start(data: Path) -> None:
    before = filled(data)
    clear = lying(data)
    keyring = open_vault(data, told(data, "key1"))
    assert filled(data, keyring) == before
    for name, content in lying(data).items():
        assert is_sealed(content)
        assert name == CHECK or read_secret(data / SECRETS / name, keyring) == clear[name]
        assert name == CHECK or clear[name] not in content
    assert {stat.S_IMODE(path.stat().st_mode) for path in (data / SECRETS).iterdir()} == {0o600}


def test_a_wrong_key_ends_the_start_and_names_the_setting(data: Path) -> None:
    filled(data, open_vault(data, told(data, "key1")))
    before = lying(data)
    with pytest.raises(Invalid, match=r"encryption\.key_file") as refused:
        open_vault(data, told(data, "key2"))
    assert refused.value.code == "invalid_settings"
    assert refused.value.faults[0].pointer == "/encryption/key_file"
    with pytest.raises(Invalid, match=r"encryption\.key_file"):
        open_vault(data, EncryptionSettings())
    assert lying(data) == before


def test_a_wrong_key_is_found_although_there_is_no_secret_yet(data: Path) -> None:
    open_vault(data, told(data, "key1"))
    with pytest.raises(Invalid, match=r"encryption\.key_file"):
        open_vault(data, told(data, "key2"))


def test_a_new_key_seals_what_an_earlier_one_did(data: Path) -> None:
    before = filled(data, open_vault(data, told(data, "key1")))
    open_vault(data, told(data, "key2", previous=[data.parent / "key1"]))
    assert filled(data, open_vault(data, told(data, "key2"))) == before


def test_a_passphrase_makes_the_same_key_in_all_processes(data: Path) -> None:
    phrase = data.parent / "phrase"
    phrase.write_text("correct horse battery")
    settings = EncryptionSettings(passphrase_file=phrase)
    first = open_vault(data, settings)
    before = filled(data, first)
    second = keyring_in(data, settings)
    assert second.current().key_id == first.current().key_id
    assert filled(data, second) == before
    phrase.write_text("another horse battery")
    with pytest.raises(Invalid, match=r"encryption\.passphrase_file"):
        open_vault(data, settings)


@pytest.mark.parametrize("name", ["signing_key.pem", CHECK])
def test_a_damaged_secret_is_refused(data: Path, name: str) -> None:
    filled(data, open_vault(data, told(data, "key1")))
    path = data / SECRETS / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Invalid, match=name):
        open_vault(data, told(data, "key1"))


def test_secrets_cannot_stand_in_each_others_place(data: Path) -> None:
    keyring = open_vault(data, told(data, "key1"))
    filled(data, keyring)
    (data / SECRETS / "model_key.pem").write_bytes((data / SECRETS / "signing_key.pem").read_bytes())
    with pytest.raises(Invalid):
        Signatures(SigningSettings(), data, keyring).prepare()


def test_drafts_of_the_dead_go_and_those_of_the_living_stay(data: Path) -> None:
    filled(data)
    for name in ("model_key.pem.77", "model_key.pem.abc.draft", "model_key.pem.new.draft"):
        (data / SECRETS / name).write_bytes(b"-----BEGIN PRIVATE KEY-----")
        if "new" not in name:
            os.utime(data / SECRETS / name, (0, 0))
    open_vault(data, told(data, "key1"))
    assert set(lying(data)) == {
        "signing_key.pem", "model_key.pem", "privacy.key", CHECK, "model_key.pem.new.draft"
    }  # fmt: skip


@pytest.mark.slow
def test_killed_at_any_moment_all_secrets_can_still_be_read(data: Path) -> None:
    """Sealing is interrupted before each change of a file; the next start ends it."""
    before = filled(data)
    settings = told(data, "key1")
    killed = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from atalaia.kit.keyring import EncryptionSettings\n"
        "from atalaia.kit.vault import open_vault\n"
        "left = int(sys.argv[3])\n"
        f"{DYING}"
        "os.replace, os.link, os.fsync = dying(os.replace), dying(os.link), dying(os.fsync)\n"
        "open_vault(Path(sys.argv[1]), EncryptionSettings(key_file=sys.argv[2]))\n"
    )
    for moment in range(12):
        ended = subprocess.run(
            [sys.executable, "-c", killed, str(data), str(settings.key_file), str(moment)], check=False
        )
        keyring = keyring_in(data, settings)
        assert filled(data, keyring) == before, moment
        if ended.returncode == 0:
            break
    else:
        raise AssertionError("sealing never ended")
    assert moment > 2
    assert all(is_sealed(content) for content in lying(data).values())
