"""The audit log from outside of the service: for whoever may read its data folder and its database."""

from collections.abc import Generator
from contextlib import contextmanager

from atalaia.app.build import Atalaia, build
from atalaia.app.settings import Settings
from atalaia.core.errors import Missing
from atalaia.kit.acting import acting_as
from atalaia.kit.audit.verify import Verdict

_HERE = "command line"


@contextmanager
def _opened(settings: Settings) -> Generator[Atalaia]:
    if not settings.data_dir.is_dir():
        raise Missing("not_found", f"there is no data folder {settings.data_dir}")
    atalaia = build(settings)
    try:
        with acting_as(_HERE):
            yield atalaia
    finally:
        atalaia.database.close()


def verify_audit(settings: Settings) -> Verdict:
    """Return what there is to say of the trail and all journals; the service may run meanwhile, or not.

    Raises
    ------
    Missing, Unavailable
        When there is no data folder, or the database cannot be read.
    """
    with _opened(settings) as atalaia:
        return atalaia.audit.verifier().verify()


def export_audit(settings: Settings) -> tuple[int, int]:
    """Export all closed journals and all events of the trail; return how many of each.

    Raises
    ------
    Missing, Unavailable
        As `verify_audit` does.
    """
    with _opened(settings) as atalaia:
        atalaia.serving.models.learn_numbers()
        journals = atalaia.audit.exporter.export_journals()
        atalaia.audit.trail.did("export_asked", "audit", journals=journals)
        events = 0
        while done := atalaia.audit.exporter.export_trail(all_of_it=True):
            events += done
            if done == 1:  # the event that tells of the export before
                break
        return journals, events
