"""A look at every version: is it signed, and are its artefacts what the signature speaks of?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from atalaia.core.errors import AtalaiaError, Missing
from atalaia.core.models import ModelKey, version_name
from atalaia.kit.blobs import sha256_of
from atalaia.kit.database import Database
from atalaia.lifecycle import store
from atalaia.lifecycle.ports import Registry
from atalaia.lifecycle.trust import Trust

_PAGE = 200
_SOUND = ("sound", "none")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one version.

    Attributes
    ----------
    registry, local_copy
        ``sound``, ``changed``, ``none``, or ``unreadable``.
    """

    model: str
    version: str
    stage: str
    signature: str
    signed_by: str
    registry: str
    local_copy: str
    ok: bool


class Verification:
    """Checks versions, wherever they stand."""

    def __init__(self, database: Database, trust: Trust, registry: Registry) -> None:
        self._database = database
        self._trust = trust
        self._registry = registry

    def verified(self, key: ModelKey | None = None) -> Iterator[Checked]:
        """Yield what is found of each version of a model, or of all.

        Raises
        ------
        Missing
            When there is no such model.
        """
        after: str | None = None
        while True:
            with self._database.read() as session:
                if key is not None:
                    names = [str(key)]
                else:
                    names = [row.key for row in store.models_page(session, after=after, limit=_PAGE)]
                versions = store.versions_of(session, names)
            if key is not None and not versions:
                raise Missing("unknown_model", f"there is no version of {key}")
            yield from map(self._checked, versions)
            if key is not None or len(names) < _PAGE:
                return
            after = names[-1]

    def _checked(self, version: store.VersionRow) -> Checked:
        registry = _look(lambda: sha256_of(self._registry.fetch(version.run_id)) == version.sha256)
        copy = _look(lambda: bool(self._trust.read(version)) or True)
        verdict = self._trust.verdict(version)
        is_whole = registry in _SOUND and copy in _SOUND and "sound" in (registry, copy)
        return Checked(
            version.key,
            version_name(version.number),
            version.stage,
            verdict.value,
            version.signed_by or "",
            registry,
            copy,
            is_whole and self._trust.accepts(verdict),
        )


def _look(is_sound: Callable[[], bool]) -> str:
    try:
        return "sound" if is_sound() else "changed"
    except Missing:
        return "none"
    except AtalaiaError as error:
        return {"bad_blob": "changed", "registry_unavailable": "none"}.get(error.code, "unreadable")
    except OSError:
        return "unreadable"
