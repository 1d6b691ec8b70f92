"""Only what its training made, as a believed key has signed it, answers."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atalaia.algorithms.deep import asking
from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.probes import fleet as fleet_history
from atalaia.core.models import Deployment
from atalaia.core.scores import Source
from atalaia.kit.blobs import sha256_of
from atalaia.kit.signatures import BEFORE, Signatures, SigningSettings
from tests.kit.fakes import logged
from tests.serving.builders import Place, damaged, fleet, open_place, series
from tests.serving.conftest import OpenPlace

A, B = series("a"), series("b")


def refusals(place: Place, reason: str) -> float:
    lines = place.telemetry.render().decode().splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if f'model_refused_total{{reason="{reason}"}}' in line
    )


def deploy_changed(place: Place, **changes: Any) -> None:
    """Let somebody who can write the table, and has no key, change what it says of the version in Production."""
    changed = replace(place.shelf.deployed[A], **changes)
    place.shelf.deploy(changed)
    place.models.refresh()


def other_artefact(place: Place) -> dict[str, Any]:
    """Return what a table would say of another model's artefact, which lies where ours should."""
    data = place.shelf.artefacts[place.shelf.promote(B, mean=1.0).run_id]
    place.shelf.artefacts[place.shelf.deployed[A].run_id] = data
    return {"sha256": sha256_of(data), "size_bytes": len(data)}


def moved_signature(place: Place) -> dict[str, Any]:
    other = place.shelf.promote(B, mean=1.0)
    return {"signature": other.signature, "signed_by": other.signed_by}


def signature_of_another_version(place: Place) -> dict[str, Any]:
    first = place.shelf.deployed[A]
    place.shelf.promote(A, mean=1.0)
    return {"signature": first.signature, "signed_by": first.signed_by}


def signature_of_a_stranger(place: Place) -> dict[str, Any]:
    stranger = Signatures(SigningSettings(), place.blobs.root / "stranger")
    made = stranger.sign(place.shelf.deployed[A].statement.encoded())
    return {"signature": made.text, "signed_by": made.key_id}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_artefact, "wrong_signature"),
        (moved_signature, "wrong_signature"),
        (signature_of_another_version, "wrong_signature"),
        (signature_of_a_stranger, "unknown_key"),
        (lambda _: {"signature": None, "signed_by": None}, "no_signature"),
        (lambda _: {"algorithm": "ewma"}, "wrong_signature"),
        (lambda _: {"job_id": "job_of_somebody"}, "wrong_signature"),
        (lambda _: {"created_at": 12}, "wrong_signature"),
    ],
    ids=["artefact", "model", "version", "key", "none", "algorithm", "job", "time"],
)
def test_a_row_that_somebody_changed_does_not_answer(
    place: Place, change: Callable[[Place], dict[str, Any]], reason: str
) -> None:
    place.shelf.promote(A)
    deploy_changed(place, **change(place))
    with logged("model_refused", reason=reason, source="mlflow"):
        assert place.find("a") is None
    assert refusals(place, reason) == 1


def test_a_local_copy_needs_the_signature_too(place: Place, open_serving: OpenPlace) -> None:
    place.promote(A)
    place.find("a")
    later = open_serving()
    later.shelf.__dict__.update(place.shelf.__dict__)
    later.shelf.is_down = True
    deploy_changed(later, signature="A" * 86)
    with logged("model_refused", reason="wrong_signature", source="local_cache"):
        assert later.find("a") is None


def test_a_changed_artefact_is_counted_and_the_next_source_answers(place: Place, open_serving: OpenPlace) -> None:
    deployment = place.promote(A)
    place.find("a")
    place.shelf.artefacts[deployment.run_id] = damaged(place.shelf.artefacts[deployment.run_id])
    later = open_serving()
    later.shelf.__dict__.update(place.shelf.__dict__)
    later.models.refresh()
    found = later.find("a")
    assert found is not None
    assert found.source is Source.LOCAL_CACHE
    assert refusals(later, "checksum") == 1


def test_a_refused_version_leaves_the_one_before_to_answer(place: Place) -> None:
    key = fleet("pumps")
    place.shelf.promote(key, "a", "b")
    place.models.refresh()
    place.shelf.deploy(replace(place.shelf.promote(key, "a", "b", mean=1.0), signature="A" * 86))
    place.models.refresh()
    found = place.find("a")
    assert found is not None
    assert found.deployment.number == 1


def unsigned(deployment: Deployment) -> dict[str, Any]:
    return {"signature": None, "signed_by": BEFORE, "job_id": deployment.job_id}


def test_a_version_of_before_signatures_answers_with_a_warning(place: Place) -> None:
    deploy_changed(place, **unsigned(place.shelf.promote(A)))
    with logged("model_not_signed", model="series:a"):
        assert place.find("a") is not None


def test_a_version_of_before_signatures_is_refused_when_all_must_be_signed(tmp_path: Path) -> None:
    with open_place(tmp_path, signing={"required": "all"}) as place:
        deploy_changed(place, **unsigned(place.shelf.promote(A)))
        assert place.find("a") is None
        assert refusals(place, "before_signatures") >= 1


def test_a_model_that_nothing_here_can_ask_leaves_the_others_to_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FleetModel.fit(make_detector("lstm", {}), ["b"], fleet_history(1))
    asking._session.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    place.promote(A)
    with logged("model_source_failed", source="mlflow"):
        place.deploy(B, model)
        assert place.find("b") is None
    assert place.find("a") is not None
