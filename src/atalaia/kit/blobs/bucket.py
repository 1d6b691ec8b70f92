"""A bucket of S3, Azure Blob Storage or Google Cloud Storage, through fsspec.

fsspec and the clouds' own packages are extras: they are loaded when a bucket is opened. Their calls are
coroutines that run in fsspec's thread, so that each can be given up when its time is over, whatever its package
thinks of timeouts. fsspec ships no types, so its objects stay inside this module.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

import structlog
from pydantic import SecretStr

from atalaia.core.errors import Fault, Invalid, Unavailable
from atalaia.kit.blobs.objects import Listed, gone
from atalaia.kit.blobs.settings import BlobsSettings

_log = structlog.get_logger(__name__)
_FIRST_PAUSE_S = 0.2
_REFUSED = (PermissionError, "NoCredentialsError", "ClientAuthenticationError", "DefaultCredentialsError")
_TIMES = ("LastModified", "last_modified", "mtime", "updated")
"""What the three packages call the time when an object was written."""
Act = Callable[[Any, str], Awaitable[Any]]


class Bucket:
    """A bucket, or a folder in one.

    Keys are written as in URLs: what is neither letter, digit nor one of ``_.-~/`` stands as percent signs.

    Parameters
    ----------
    url
        ``s3://bucket/prefix``, ``abfs://container/prefix`` (or ``az://``) or ``gs://bucket/prefix``.

    Raises
    ------
    Invalid
        When the URL is of another kind, or the package for it is not installed.
    """

    def __init__(self, url: str, settings: BlobsSettings) -> None:
        scheme, _, place = url.partition("://")
        place = place.strip("/")
        if scheme not in _KINDS or not place:
            reason = f"{url[:200]!r} is none of {', '.join(f'{kind}://bucket/prefix' for kind in _KINDS)}"
            raise Invalid("invalid_settings", f"blobs_url: {reason}", faults=[Fault("/blobs_url", reason)])
        self.name = f"{scheme}://{place}"
        self._place = place
        self._settings = settings
        self._make, self._extra = _KINDS[scheme]
        self._lock = threading.Lock()
        self._down_until = 0.0
        self._why = ""
        self._opened, self._pid = self._load(), os.getpid()

    def put(self, key: str, data: bytes) -> None:
        """Store an object; it appears once all of it has arrived."""

        async def act(fs: Any, path: str) -> None:
            await fs._pipe_file(path, data)
            size = int((await fs._info(path))["size"])
            if size != len(data):
                raise OSError(f"{size} bytes have arrived of {len(data)}")

        self._call("put", key, act)

    def get(self, key: str) -> bytes:
        """Return an object, or raise `Missing`."""
        try:
            return bytes(self._call("get", key, lambda fs, path: fs._cat_file(path)))
        except FileNotFoundError as error:
            raise gone(key) from error

    def begin(self, key: str, length: int) -> bytes:
        """Return the first bytes of an object that has any, or raise `Missing`."""
        try:
            return bytes(self._call("begin", key, lambda fs, path: fs._cat_file(path, start=0, end=length)))
        except FileNotFoundError as error:
            raise gone(key) from error

    def size(self, key: str) -> int | None:
        """Return the size of an object, None when there is none."""
        try:
            found = self._call("size", key, lambda fs, path: fs._info(path))
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        try:
            self._call("delete", key, lambda fs, path: fs._rm_file(path))
        except FileNotFoundError:
            return

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects below a folder in order."""
        try:
            found = self._call("list", prefix, lambda fs, path: fs._find(path, detail=True))
        except FileNotFoundError:
            return
        within = f"{self._place}/"
        below = within + f"{quote(prefix)}/" if prefix else within
        listed = [
            Listed(unquote(path.removeprefix(within)), int(info["size"]), _modified_s(info))
            for path, info in (found.items() if isinstance(found, dict) else ())
            if path.startswith(below) and info.get("type") == "file"
        ]
        yield from sorted(listed, key=lambda one: one.key.split("/"))

    def _call(self, what: str, key: str, act: Act) -> Any:
        """Do something with an object, again when it fails and time is left.

        Raises
        ------
        FileNotFoundError
            When it is not there.
        Unavailable
            When it could not be done, or others could not do what they wanted a moment ago.
        """
        settings, path = self._settings, f"{self._place}/{quote(key)}".rstrip("/")
        wait_s = self._down_until - time.monotonic()
        if wait_s > 0:
            raise self._unavailable(self._why, retry_after_s=wait_s)
        deadline = time.monotonic() + settings.deadline_s
        for attempt in range(1, settings.attempts + 1):
            try:
                return self._once(act, path, deadline - time.monotonic())
            except FileNotFoundError:
                raise
            except Exception as error:
                why = f"{type(error).__name__}: {error}"[:300]
                _log.warning("blobs_failed", call=what, key=key, attempt=attempt, error=why)
                pause_s = _FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0)
                if _is_refusal(error):
                    raise self._unavailable(why, retry_after_s=60) from error
                if attempt == settings.attempts or time.monotonic() + pause_s >= deadline:
                    self._why, self._down_until = why, time.monotonic() + settings.pause_s
                    raise self._unavailable(why, retry_after_s=max(settings.pause_s, 1)) from error
                time.sleep(pause_s)
        raise AssertionError("unreachable")

    def _once(self, act: Act, path: str, timeout_s: float) -> Any:
        from fsspec.asyn import sync

        fs = self._open()
        return sync(fs.loop, act, fs, path, timeout=max(timeout_s, 0.001))

    def _unavailable(self, why: str, retry_after_s: float) -> Unavailable:
        detail = f"the object store {self.name} cannot be used ({why})"
        return Unavailable("blobs_unavailable", detail, retry_after_s=retry_after_s)

    def _load(self) -> Any:
        try:
            return self._make(self._settings)
        except ImportError as error:
            reason = f"{self.name} needs more packages; install them with pip install 'atalaia[{self._extra}]'"
            raise Invalid(
                "invalid_settings", f"blobs_url: {reason}", faults=[Fault("/blobs_url", reason)]
            ) from error

    def _open(self) -> Any:
        with self._lock:
            if self._pid != os.getpid():  # a fork has no thread to run coroutines in
                self._opened, self._pid = self._load(), os.getpid()
            return self._opened


def _is_refusal(error: Exception) -> bool:
    return any(
        isinstance(error, kind) if isinstance(kind, type) else type(error).__name__ == kind for kind in _REFUSED
    )


def _modified_s(info: Mapping[str, Any]) -> float:
    told = next((info[name] for name in _TIMES if info.get(name)), None)
    if isinstance(told, str):
        told = datetime.fromisoformat(told)
    return told.timestamp() if isinstance(told, datetime) else 0.0


def _s3(given: BlobsSettings) -> Any:
    from s3fs import S3FileSystem

    fs = S3FileSystem(
        endpoint_url=given.endpoint_url,
        key=given.key,
        secret=_told(given.secret),
        token=_told(given.session_token),
        anon=given.anonymous,
        client_kwargs={"region_name": given.region} if given.region else {},
        config_kwargs={
            "connect_timeout": given.connect_timeout_s,
            "read_timeout": given.read_timeout_s,
            "retries": {"total_max_attempts": 1},
            "response_checksum_validation": "when_required",  # ours is checked, and some stores get theirs wrong
        },
        use_listings_cache=False,
    )
    fs.retries = 1  # those of ours count
    return fs


def _azure(given: BlobsSettings) -> Any:
    from adlfs import AzureBlobFileSystem

    told: dict[str, Any] = {
        "account_name": given.account,
        "account_key": _told(given.account_key),
        "sas_token": _told(given.sas_token),
        "connection_string": _told(given.connection_string),
        "account_host": given.endpoint_url,
    }
    return AzureBlobFileSystem(
        **{name: value for name, value in told.items() if value is not None},
        anon=given.anonymous,
        connection_timeout=max(1, int(given.connect_timeout_s)),
        read_timeout=max(1, int(given.read_timeout_s)),
        use_listings_cache=False,
    )


def _google(given: BlobsSettings) -> Any:
    from aiohttp import ClientTimeout
    from gcsfs.core import GCSFileSystem  # the one that gcsfs itself exports asks another API what a bucket is

    key_file = str(given.credentials_file) if given.credentials_file else None
    return GCSFileSystem(
        project=given.project or "",
        token="anon" if given.anonymous else key_file,
        endpoint_url=given.endpoint_url,
        requests_timeout=ClientTimeout(sock_connect=given.connect_timeout_s, sock_read=given.read_timeout_s),
        use_listings_cache=False,
    )


def _told(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


_KINDS: dict[str, tuple[Callable[[BlobsSettings], Any], str]] = {
    "s3": (_s3, "aws"),
    "abfs": (_azure, "azure"),
    "az": (_azure, "azure"),
    "gs": (_google, "gcp"),
}
"""How each kind of URL is opened, and the extra that it needs."""
