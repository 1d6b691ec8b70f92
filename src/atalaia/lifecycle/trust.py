"""Whether a version is what its training made: its signature, and its artefact."""

import structlog

from atalaia.core.errors import AtalaiaError, Conflict, Missing
from atalaia.core.models import artefact_key, version_name
from atalaia.kit.blobs import Blobs
from atalaia.kit.signatures import Signatures, Verdict
from atalaia.kit.telemetry import Telemetry
from atalaia.lifecycle.store import VersionRow

_log = structlog.get_logger(__name__)


class Trust:
    """Looks at versions before they are used."""

    def __init__(self, signatures: Signatures, blobs: Blobs, telemetry: Telemetry) -> None:
        self._signatures = signatures
        self._blobs = blobs
        self._telemetry = telemetry

    def check(self, version: VersionRow) -> None:
        """Look at the signature of a version.

        Raises
        ------
        Conflict
            ``model_refused`` when it is not good, or is wanted and missing.
        """
        verdict = self.verdict(version)
        if not self._signatures.accepts(verdict):
            raise self._refused(version, verdict.value)

    def check_copy(self, version: VersionRow) -> None:
        """Look at the local copy of an artefact; none is as good as a sound one, because the registry has it too.

        Raises
        ------
        Conflict
            ``model_refused`` when it is not what the version says.
        """
        try:
            self.read(version)
        except Missing:
            return
        except AtalaiaError as error:
            raise self._refused(version, "checksum") from error

    def verdict(self, version: VersionRow) -> Verdict:
        """Say what is to be thought of the signature of a version."""
        return self._signatures.judge(version.statement.encoded(), version.signature, version.signed_by)

    def accepts(self, verdict: Verdict) -> bool:
        """Say whether a version with this verdict may be used."""
        return self._signatures.accepts(verdict)

    def read(self, version: VersionRow) -> bytes:
        """Return the local copy of an artefact, or raise `Missing` or `Broken`."""
        return self._blobs.get(artefact_key(version.sha256), version.sha256)

    def _refused(self, version: VersionRow, reason: str) -> Conflict:
        name = version_name(version.number)
        self._telemetry.count("model_refused_total", reason)
        _log.error("model_refused", model=version.key, version=version.number, reason=reason)
        return Conflict("model_refused", f"{name} of {version.key} is not used ({reason}); train it again")
