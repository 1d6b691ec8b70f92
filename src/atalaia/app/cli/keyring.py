"""Tokens of logins, in a file that only its owner reads."""

import json
import os
from pathlib import Path
from typing import Any, cast

import typer

_APP = "atalaia"


def keyring_file() -> Path:
    """Return where tokens are kept."""
    return Path(typer.get_app_dir(_APP)) / "tokens.json"


def stored_token(url: str) -> str | None:
    """Return the token of the last login at a service, None without one."""
    return _read().get(url.rstrip("/"))


def store_token(url: str, token: str | None) -> Path:
    """Keep the token of a login, or forget it; return the file."""
    file = keyring_file()
    tokens = {name: kept for name, kept in _read().items() if name != url.rstrip("/")}
    if token is not None:
        tokens[url.rstrip("/")] = token
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(tokens, out)
    draft.replace(file)
    return file


def _read() -> dict[str, str]:
    try:
        found: Any = json.loads(keyring_file().read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): token for name, token in cast(dict[Any, Any], found).items() if isinstance(token, str)}
