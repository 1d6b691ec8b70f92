"""The parts outside of the service that its settings name: whether each answers, and is as it must be."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from atalaia.app.backup import open_target
from atalaia.app.settings import Settings
from atalaia.connectors.oidc import ProviderDocuments
from atalaia.connectors.otlp import ask_collector
from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError, Missing, Unavailable
from atalaia.kit.auth.foreign import KeySet
from atalaia.kit.database import reason_of
from atalaia.kit.limits import ask_redis
from atalaia.kit.web.tls import tls_files

_HOUR_US = 3_600 * MICROS
_SOON_US = 14 * 24 * _HOUR_US


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    check: str
    ok: bool
    detail: str
    advice: str = ""


def finding(check: str, look: Callable[[], str], advice: str) -> Finding:
    """Return what a look at something shows; the advice is for when it fails."""
    try:
        return Finding(check, True, look())
    except AtalaiaError as error:
        reason = reason_of(error)
        return Finding(check, False, f"{error.detail} ({reason})" if reason else error.detail, advice)
    except OSError as error:
        return Finding(check, False, f"{error.strerror}: {error.filename}", advice)


def outside(settings: Settings) -> list[Finding]:
    """Check each part that the settings name; those that they do not name are not told of."""
    found: list[Finding] = []
    if settings.limits.redis_url:
        advice = "start Redis, or correct limits.redis_url; each process counts for itself meanwhile"
        found.append(finding("shared limits", lambda: ask_redis(settings.limits), advice))
    if settings.auth.mode == "on" and settings.auth.issuer:
        advice = "look at auth.issuer, auth.jwks_url and the way there; our own tokens are good meanwhile"
        found.append(finding("issuer", lambda: _check_issuer(settings), advice))
    if settings.tracing.otlp_endpoint:
        advice = "start the collector, or correct tracing.otlp_endpoint; traces are lost meanwhile, nothing else"
        found.append(finding("collector", lambda: _check_collector(settings), advice))
    if settings.tls.cert_file:
        advice = "put a new certificate and its key into the files; they are taken up within seconds"
        found.append(finding("certificate", lambda: _check_certificate(settings), advice))
    if settings.backup.to:
        advice = (
            "look at backup.to, and at the newest `back_up` of `atalaia jobs list`; then `atalaia backup create`"
        )
        found.append(finding("backups", lambda: _check_backups(settings), advice))
    return found


def _check_issuer(settings: Settings) -> str:
    keys = KeySet(settings.auth, ProviderDocuments()).read()
    return f"{settings.auth.issuer} publishes {len(keys)} keys that can be used"


def _check_collector(settings: Settings) -> str:
    given = settings.tracing
    headers = {name: value.get_secret_value() for name, value in given.otlp_headers.items()}
    return ask_collector(given.otlp_endpoint or "", headers, given.timeout_s)


def _check_certificate(settings: Settings) -> str:
    tls_files(settings.tls)  # whether they fit
    certificate = x509.load_pem_x509_certificates((settings.tls.cert_file or Path()).read_bytes())[0]
    left_us = certificate.not_valid_after_utc.timestamp() * MICROS - now_us()
    until = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if left_us < _SOON_US:
        raise Unavailable("part_unavailable", f"the certificate of the HTTP doors is good until {until} only")
    return f"the certificate of the HTTP doors is good until {until}"


def _check_backups(settings: Settings) -> str:
    target = open_target(settings.backup.to or "", settings.backup, settings.blobs)
    ids = target.ids()
    if not ids:
        raise Missing("not_found", f"there is no backup in {settings.backup.to}")
    manifest = target.read(ids[-1])
    age_h = (now_us() - manifest.snapshot_at) / _HOUR_US
    if age_h > 2 * settings.backup.every_hours:
        raise Unavailable("part_unavailable", f"the newest backup, {ids[-1]}, is {age_h:.1f} hours old")
    return f"{len(ids)} backups; the newest, {ids[-1]}, is {age_h:.1f} hours old"
