"""TLS from files, which may change while the service runs."""

import ssl
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, Field

from atalaia.core.errors import Fault, Invalid
from atalaia.kit.threads import Loop

_log = structlog.get_logger(__name__)
_LOOK_EVERY_S = 5.0


class TlsSettings(BaseModel):
    """Certificates of the HTTP doors; without any they speak plain HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cert_file: Path | None = Field(default=None, description="Certificate and those above it (PEM).")
    key_file: Path | None = Field(default=None, description="Private key of the certificate (PEM).")
    client_ca_file: Path | None = Field(
        default=None, description="Authorities of clients' certificates (PEM); callers must then have one."
    )


class TlsFiles:
    """A context for TLS 1.2 and later that takes up its files anew when they change.

    Attributes
    ----------
    context
        New connections take what it has at the moment; those that are open keep what they have.
    """

    def __init__(self, settings: TlsSettings) -> None:
        if settings.cert_file is None or settings.key_file is None:
            raise _unusable("cert_file and key_file are needed together")
        self._cert, self._key, self._clients = settings.cert_file, settings.key_file, settings.client_ca_file
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        try:
            self._seen = self._stamps()
            self.context.load_cert_chain(self._cert, self._key)
            if self._clients is not None:
                self.context.load_verify_locations(self._clients)
                self.context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:
            raise _unusable(str(error)) from error
        self._loop = Loop("tls", self.look, every_s=_LOOK_EVERY_S)

    def start(self) -> None:
        """Look for changes from now on."""
        self._loop.start()

    def stop(self) -> None:
        """Look no more."""
        self._loop.stop()

    def look(self) -> bool:
        """Take the files up anew if they have changed; what cannot be used is logged, and the old ones stay."""
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return False
            probe = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            probe.load_cert_chain(self._cert, self._key)  # both must fit before the old ones go
            self.context.load_cert_chain(self._cert, self._key)
            if self._clients is not None:
                self.context.load_verify_locations(self._clients)
        except (OSError, ValueError) as error:
            _log.warning("certificate_not_taken", reason=str(error))
            return False
        self._seen = stamps
        _log.info("certificate_taken", file=str(self._cert))
        return False

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        files = [file for file in (self._cert, self._key, self._clients) if file is not None]
        return tuple((found.st_mtime_ns, found.st_ino) for found in map(Path.stat, files))


def tls_files(settings: TlsSettings) -> TlsFiles | None:
    """Return what the settings ask for, None for plain HTTP.

    Raises
    ------
    Invalid
        ``invalid_settings`` when the files cannot be used.
    """
    given = (settings.cert_file, settings.key_file, settings.client_ca_file)
    return TlsFiles(settings) if any(given) else None


def _unusable(why: str) -> Invalid:
    return Invalid("invalid_settings", f"tls: {why}", faults=[Fault("/tls", why)])
