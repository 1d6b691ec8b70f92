"""A version is promoted, read and shown as sound only as its training made it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from atalaia.core.errors import Conflict, Missing
from atalaia.core.models import artefact_key
from atalaia.kit.signatures import BEFORE, Verdict
from tests.lifecycle.builders import FLEET, SERIES, Workshop, open_workshop, wave

WINDOW = "7d"


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    with open_workshop(tmp_path) as workshop:
        workshop.history.fill(SERIES.name, wave())
        workshop.history.fill("other", wave(seed=2))
        workshop.history.fleets[FLEET.name] = [SERIES.name, "other"]
        yield workshop


def change(workshop: Workshop, what: str) -> None:
    """Change the table as somebody could who has the database, and no key."""
    with workshop.database.write() as session:
        session.execute(text(f"UPDATE model_versions SET {what}"))  # noqa: S608


def copy_of(workshop: Workshop) -> Path:
    with workshop.database.read() as session:
        sha256 = session.scalar(text("SELECT sha256 FROM model_versions"))
    return workshop.blobs.path(artefact_key(str(sha256)))


def test_a_training_signs_its_version_and_tells_the_registry(workshop: Workshop) -> None:
    workshop.train()
    (artefact,) = workshop.registry.runs.values()
    (checked,) = workshop.lifecycle.verification.verified()
    assert checked.ok
    assert (checked.signature, checked.registry, checked.local_copy) == (Verdict.GOOD, "sound", "sound")
    assert artefact.tags["signed_by"] == checked.signed_by
    assert artefact.sha256 in artefact.tags["statement"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("sha256 = 'ab'", "wrong_signature"),
        ("signature = NULL", "no_signature"),
        ("signed_by = 'somebody'", "unknown_key"),
        ("created_at = created_at - 1", "wrong_signature"),
    ],
)
def test_a_changed_row_is_not_promoted(workshop: Workshop, what: str, reason: str) -> None:
    workshop.train()
    change(workshop, what)
    with pytest.raises(Conflict, match=reason):
        workshop.promote(1)
    assert workshop.production() == {}
    assert f'model_refused_total{{reason="{reason}"}} 1.0' in workshop.telemetry.render().decode()


def test_a_changed_row_does_not_challenge(workshop: Workshop) -> None:
    workshop.train()
    workshop.promote(1)
    workshop.train()
    change(workshop, "signature = NULL")
    with pytest.raises(Conflict, match="no_signature"):
        workshop.challenge(2)


def test_signatures_of_two_models_cannot_be_swapped(workshop: Workshop) -> None:
    workshop.train()
    workshop.train(FLEET)
    with workshop.database.write() as session:
        rows = session.execute(text("SELECT key, signature FROM model_versions ORDER BY key")).all()
        for (key, _), (_, signature) in zip(rows, reversed(rows), strict=True):
            session.execute(
                text("UPDATE model_versions SET signature = :s WHERE key = :k"), {"s": signature, "k": key}
            )
    for key in (SERIES, FLEET):
        with pytest.raises(Conflict, match="wrong_signature"):
            workshop.promote(1, key)
    assert {one.signature for one in workshop.lifecycle.verification.verified()} == {"wrong_signature"}


def test_a_changed_artefact_is_not_promoted(workshop: Workshop) -> None:
    workshop.train()
    file = copy_of(workshop)
    file.write_bytes(file.read_bytes()[:-1] + b"\x00\x01")
    with pytest.raises(Conflict, match="checksum"):
        workshop.promote(1)


def test_a_version_without_a_local_copy_is_promoted(workshop: Workshop) -> None:
    """The registry has it too, and whoever loads it checks it."""
    workshop.train()
    copy_of(workshop).unlink()
    workshop.promote(1)
    assert workshop.production() == {str(SERIES): 1}


def test_metrics_are_not_told_of_a_changed_version(workshop: Workshop) -> None:
    workshop.train()
    workshop.promote(1)
    change(workshop, "job_id = 'job_of_somebody'")
    with pytest.raises(Conflict, match="wrong_signature"):
        workshop.lifecycle.metrics(SERIES, SERIES.name, WINDOW)


def test_a_wave_with_a_changed_version_is_not_promoted(workshop: Workshop) -> None:
    queued = workshop.start_wave([FLEET.name])
    workshop.work()
    change(workshop, "signature = NULL")
    with pytest.raises(Conflict, match="no_signature"):
        workshop.promote_wave(queued.wave_id)


def damage_copy(workshop: Workshop) -> None:
    copy_of(workshop).write_bytes(b"other")


def damage_registry(workshop: Workshop) -> None:
    for job_id, artefact in list(workshop.registry.runs.items()):
        object.__setattr__(artefact, "data", b"other")
        workshop.registry.runs[job_id] = artefact


def lose_both(workshop: Workshop) -> None:
    copy_of(workshop).unlink()
    workshop.registry.is_down = True


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (damage_copy, ("sound", "changed")),
        (damage_registry, ("changed", "sound")),
        (lose_both, ("none", "none")),
    ],
)
def test_a_look_at_all_versions_finds_what_is_wrong(
    workshop: Workshop, damage: Callable[[Workshop], None], found: tuple[str, str]
) -> None:
    workshop.train()
    damage(workshop)
    (checked,) = workshop.lifecycle.verification.verified(SERIES)
    assert not checked.ok
    assert (checked.registry, checked.local_copy) == found


def test_a_version_of_before_is_sound_while_it_may_be_unsigned(workshop: Workshop) -> None:
    workshop.train()
    change(workshop, f"signature = NULL, signed_by = '{BEFORE}'")
    (checked,) = workshop.lifecycle.verification.verified()
    assert (checked.ok, checked.signature) == (True, "before_signatures")


def test_a_look_at_a_model_that_there_is_not_says_so(workshop: Workshop) -> None:
    with pytest.raises(Missing):
        list(workshop.lifecycle.verification.verified(FLEET))
