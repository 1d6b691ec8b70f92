"""Labels, ids and notes that name people: replaced by pseudonyms, masked or dropped before anything is kept.

A pseudonym is an HMAC-SHA256 with a secret of the site, cut to 96 bits: the same value always has the same one, so
that a series stays the same series, and nobody without the secret can try values out.
"""

import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from atalaia.core.errors import Fault, Invalid, Missing
from atalaia.kit.keyring import Keyring
from atalaia.kit.keys import SECRETS, keep_secret, read_secret

PREFIX = "anon-"
"""Begins every pseudonym, so that none is taken for a value, nor hidden once more."""
MASK = "***"
_DIGITS = 24
_FILE = "privacy.key"
_LEAST_BYTES = 16
_REMEMBERED = 1 << 19
_PATTERNS = {
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    "ip": re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}\b"),
    "phone": re.compile(r"(?<![\w.])\+?\d(?:[\s()/-]{0,2}\d){7,14}(?![\w.]\d)"),
    "cpf": re.compile(r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b"),
}


class PrivacyRule(BaseModel):
    """What is hidden, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: Literal["labels", "series_id", "notes"] = Field(
        default="labels", description="Values of labels, whole ids of series, or notes of feedback."
    )
    match: str = Field(
        min_length=1,
        description="Shell pattern of a label's name or of an id; in notes `email`, `ip`, `phone`, `cpf` or `*`.",
    )
    action: Literal["hash", "drop", "mask"] = Field(description="A pseudonym, nothing, or `***`.")

    @model_validator(mode="after")
    def _can_be_done(self) -> "PrivacyRule":
        if self.where == "series_id" and self.action != "hash":
            raise ValueError("an id can only be hashed: without one there is no series")
        if self.where == "notes" and not any(fnmatchcase(name, self.match) for name in _PATTERNS):
            raise ValueError(f"notes know the patterns {', '.join(_PATTERNS)}")
        return self


class PrivacySettings(BaseModel):
    """What is hidden before it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[PrivacyRule, ...] = Field(
        default=(), description="What is hidden; of the rules for a label or id the first that applies counts."
    )
    secret_file: Path | None = Field(
        default=None,
        description="File whose bytes are the secret of pseudonyms; unset makes one in the data folder.",
    )


class Privacy:
    """Hides what the rules name.

    Attributes
    ----------
    hides_ids, hides_labels
        Whether there is any rule for ids, and for labels.
    """

    def __init__(self, settings: PrivacySettings, folder: Path, keyring: Keyring | None = None) -> None:
        self._settings = settings
        self._folder = folder
        self._keyring = keyring
        self._of_labels = [rule for rule in settings.rules if rule.where == "labels"]
        self._of_ids = [rule for rule in settings.rules if rule.where == "series_id"]
        self._of_notes = [rule for rule in settings.rules if rule.where == "notes"]
        self.hides_ids, self.hides_labels = bool(self._of_ids), bool(self._of_labels)
        is_hashed = any(rule.action == "hash" for rule in settings.rules)
        self._secret = _secret(settings.secret_file, folder, keyring) if is_hashed else b""
        self._id = lru_cache(maxsize=_REMEMBERED)(self._hidden_id)

    def pseudonym(self, value: str) -> str:
        """Return what stands for a value; one that is a pseudonym stands for itself.

        Raises
        ------
        Invalid
            ``invalid_settings`` when no rule makes pseudonyms, so that there is no secret.
        """
        if is_pseudonym(value):
            return value
        if not self._secret:
            raise Invalid("invalid_settings", "no rule of `privacy.rules` hashes: there are no pseudonyms")
        digest = hmac.new(self._secret, value.encode("utf-8", "surrogatepass"), sha256).hexdigest()
        return PREFIX + digest[:_DIGITS]

    def keyed(self, value: str, *, may_make: bool = True) -> str:
        """Return the HMAC-SHA256 of a value in hexadecimal, by the secret of the site.

        Raises
        ------
        Missing
            When there is no secret, and none may be made: another one would be of no use to compare with.
        """
        path = self._settings.secret_file or self._folder / SECRETS / _FILE
        if not may_make and not path.exists():
            detail = f"there is no secret of pseudonyms in {path}; run this where the site's `secrets/` are"
            raise Missing("not_found", detail)
        secret = self._secret or _secret(self._settings.secret_file, self._folder, self._keyring)
        return hmac.new(secret, b"erasure " + value.encode("utf-8", "surrogatepass"), sha256).hexdigest()

    def known_as(self, value: str) -> list[str]:
        """Return as what a value may have been kept: itself, and its pseudonym where there are any."""
        return [value, self.pseudonym(value)] if self._secret and not is_pseudonym(value) else [value]

    def label(self, name: str, value: str) -> str | None:
        """Return the value of a label as it may be kept, None for not at all."""
        rule = next((rule for rule in self._of_labels if fnmatchcase(name, rule.match)), None)
        if rule is None or not value:
            return value
        if rule.action == "hash":
            return self.pseudonym(value)
        return MASK if rule.action == "mask" else None

    def labels(self, labels: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return labels as they may be kept."""
        kept = [(name, self.label(name, value)) for name, value in labels]
        return [(name, value) for name, value in kept if value is not None]

    def series_id(self, series_id: str) -> str:
        """Return the id under which a series may be kept."""
        return self._id(series_id) if self._of_ids else series_id

    def series_ids(self, series_ids: Iterable[str]) -> list[str]:
        """Return the ids under which series may be kept."""
        return [self._id(series_id) for series_id in series_ids] if self._of_ids else list(series_ids)

    def model_name(self, name: str) -> str:
        """Return the name that the model ``series:<id>`` has with an id that may be kept; others stay."""
        scope, found, series_id = name.partition(":")
        return f"{scope}:{self.series_id(series_id)}" if found and scope == "series" else name

    def note(self, text: str) -> str:
        """Return a note as it may be kept."""
        for rule in self._of_notes:
            for name, pattern in _PATTERNS.items():
                if fnmatchcase(name, rule.match):
                    text = pattern.sub(partial(self._said, rule), text)
        return text

    def _said(self, rule: PrivacyRule, found: re.Match[str]) -> str:
        if rule.action == "hash":
            return self.pseudonym(found.group())
        return MASK if rule.action == "mask" else ""

    def _hidden_id(self, series_id: str) -> str:
        hidden = any(fnmatchcase(series_id, rule.match) for rule in self._of_ids)
        return self.pseudonym(series_id) if hidden else series_id


def is_pseudonym(value: str) -> bool:
    """Say whether a value is a pseudonym already."""
    digits = value.removeprefix(PREFIX)
    return len(digits) == _DIGITS and digits != value and all(c in "0123456789abcdef" for c in digits)


def _secret(file: Path | None, folder: Path, keyring: Keyring | None) -> bytes:
    path = file or folder / SECRETS / _FILE
    if file is None and not path.exists():
        keep_secret(path, secrets.token_bytes(32), keyring)
    try:
        secret = read_secret(path, keyring)
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}"
        raise Invalid("invalid_settings", reason, faults=[Fault("/privacy/secret_file", reason)]) from error
    if len(secret) < _LEAST_BYTES:
        reason = f"{path} holds {len(secret)} bytes, a secret needs {_LEAST_BYTES}"
        raise Invalid("invalid_settings", reason, faults=[Fault("/privacy/secret_file", reason)])
    return secret
