"""Signatures of what must not be changed by others: a key that signs, and keys whose signatures are believed."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, Field

from atalaia.kit.keyring import Keyring
from atalaia.kit.keys import SECRETS, encoded, make_private, public_text, read_private, read_public, thumbprint

BEFORE = "before-signatures"
"""Stands in place of a key's id with what was there before anything was signed."""
_SIGNATURE_CHARACTERS = 86


class SigningSettings(BaseModel):
    """The key that signs models, and keys that are believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_file: Path | None = Field(
        default=None,
        description="Ed25519 private key (PEM) that signs models; unset makes one in the data folder.",
    )
    trusted: tuple[str, ...] = Field(
        default=(),
        description="Further public keys whose signatures count: files (PEM), or what `atalaia models key` shows.",
    )
    required: Literal["off", "new", "all"] = Field(
        default="new",
        description="Which models must be signed: `new`, all but those from before there were signatures.",
    )


class Verdict(StrEnum):
    """What a look at a signature found."""

    GOOD = "good"
    BEFORE = "before_signatures"
    MISSING = "no_signature"
    UNKNOWN_KEY = "unknown_key"
    WRONG = "wrong_signature"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature and the id of the key that made it, as they are stored."""

    text: str
    key_id: str


class Signatures:
    """Signs statements, and says what to think of signatures of others.

    Parameters
    ----------
    folder
        The data folder, which has the key when the settings name none.
    keyring
        What the key is sealed with there.
    """

    def __init__(self, settings: SigningSettings, folder: Path, keyring: Keyring | None = None) -> None:
        self._settings = settings
        self._keyring = keyring
        self._path = settings.key_file or folder / SECRETS / "model_key.pem"
        self._private: Ed25519PrivateKey | None = None
        self._trusted = _by_id(read_public(told, "/signing/trusted") for told in settings.trusted)

    def prepare(self) -> None:
        """Find the key that signs, or make it.

        Raises
        ------
        Invalid
            ``invalid_settings`` when the file holds no such key.
        """
        _ = self._key()

    def sign(self, statement: bytes) -> Signature:
        """Sign a statement by the site's key, which is made when it is first wanted.

        Raises
        ------
        Invalid
            ``invalid_settings`` when the key cannot be used.
        """
        key = self._key()
        return Signature(encoded(key.sign(statement)), thumbprint(key.public_key()))

    def judge(self, statement: bytes, text: str | None, key_id: str | None) -> Verdict:
        """Say what is to be thought of the signature of a statement."""
        if key_id == BEFORE:
            return Verdict.BEFORE
        if not text or not key_id:
            return Verdict.MISSING
        public = self._public(key_id)
        if public is None:
            return Verdict.UNKNOWN_KEY
        try:
            public.verify(_decoded(text), statement)
        except (InvalidSignature, ValueError):
            return Verdict.WRONG
        return Verdict.GOOD

    def accepts(self, verdict: Verdict) -> bool:
        """Say whether what got this verdict may be used."""
        if verdict is Verdict.BEFORE:
            return self._settings.required != "all"
        if verdict is Verdict.MISSING:
            return self._settings.required == "off"
        return verdict is Verdict.GOOD

    def public_key(self) -> tuple[str, str, str]:
        """Return the public half of the site's key: its id, in base64, and as PEM; the key is made if need be."""
        public = self._key().public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return thumbprint(public), public_text(public), pem

    def _key(self) -> Ed25519PrivateKey:
        if self._private is None:
            if self._settings.key_file is None and not self._path.exists():
                make_private(self._path, self._keyring)
            self._private = read_private(self._path, "/signing/key_file", self._keyring)
        return self._private

    def _public(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key that is believed. To verify, none is made: a process that only answers may have none."""
        found = self._trusted.get(key_id)
        if found is not None:
            return found
        if self._private is None and self._path.exists():  # the process that trains may have made it meanwhile
            self._private = read_private(self._path, "/signing/key_file", self._keyring)
        if self._private is None:
            return None
        return _by_id([self._private.public_key()]).get(key_id)


def _by_id(keys: Iterable[Ed25519PublicKey]) -> dict[str, Ed25519PublicKey]:
    return {thumbprint(key): key for key in keys}


def _decoded(text: str) -> bytes:
    if len(text) != _SIGNATURE_CHARACTERS:  # of 64 bytes, unpadded: no other form of the same one is taken
        raise ValueError("not a signature")
    data = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    if encoded(data) != text:
        raise ValueError("not a signature")
    return data
