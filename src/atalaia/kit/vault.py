"""The folder of secrets: what lies there in clear is sealed at a start, once there is a key for that.

Beside the secrets lies a check: an empty envelope, by which a start sees that the key is the one that was used
here, and that holds the salt of a passphrase.
"""

import os
from contextlib import suppress
from pathlib import Path

import structlog

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Broken
from atalaia.kit.envelopes import is_sealed, open_head, renewed_head, salt_in, seal
from atalaia.kit.keyring import EncryptionSettings, Keyring, keyring_of
from atalaia.kit.keys import DRAFT, SECRETS, envelope_of, keep_secret, replace_secret, wrong_key

_log = structlog.get_logger(__name__)
_CHECK = "encryption.check"
_STALE_S = 60.0
"""How old a draft is whose writer has died."""


def keyring_in(folder: Path, settings: EncryptionSettings) -> Keyring:
    """Return the keys of the site in a data folder; nothing is written.

    Raises
    ------
    Invalid
        ``invalid_settings`` when a key cannot be used.
    """
    try:
        salt = salt_in((folder / SECRETS / _CHECK).read_bytes())
    except FileNotFoundError:
        salt = None
    return keyring_of(settings, folder, salt)


def open_vault(folder: Path, settings: EncryptionSettings) -> Keyring:
    """Return the keys of the site; its secrets are sealed with the current one when this returns.

    Raises
    ------
    Invalid
        ``invalid_settings`` when a key cannot be used, or a secret is sealed with one that is not named.
    """
    keyring = keyring_in(folder, settings)
    secrets = folder / SECRETS
    name = "passphrase_file" if settings.passphrase_file else "key_file"
    for path in sorted(secrets.iterdir()) if secrets.is_dir() else ():
        if path.suffix == DRAFT or path.suffix[1:].isdecimal():
            _remove_stale(path)
        elif path.is_file():
            _settle(path, keyring, name)
    if keyring.seals and not (secrets / _CHECK).exists():
        keep_secret(secrets / _CHECK, b"", keyring)
    return keyring


def _settle(path: Path, keyring: Keyring, setting: str) -> None:
    data = path.read_bytes()
    if not is_sealed(data):
        if keyring.seals:
            replace_secret(path, b"".join(seal(keyring, envelope_of(path), data)))
            _log.info("secret_sealed", file=path.name)
        return
    try:
        open_head(keyring, envelope_of(path), data, len(data))
        head = renewed_head(keyring, envelope_of(path), data) if keyring.seals else None
    except Broken as error:
        raise wrong_key(path, error, setting) from error
    if head is not None:
        replace_secret(path, head + data[len(head) :])
        _log.info("secret_sealed_anew", file=path.name)


def _remove_stale(draft: Path) -> None:
    with suppress(FileNotFoundError):
        if now_us() / MICROS - draft.stat().st_mtime > _STALE_S:
            os.unlink(draft)
            _log.info("secret_draft_removed", file=draft.name)
