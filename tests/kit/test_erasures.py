"""A plan is packed and comes back; a certificate is believed only as it was signed."""

from pathlib import Path
from typing import Any

import pytest

from atalaia.core.errors import Missing
from atalaia.kit.erasures import STATEMENT, Plan, Subject, certified, encoded, erasure, judge
from atalaia.kit.signatures import BEFORE, Signatures, SigningSettings, Verdict
from tests.signals.builders import fresh_database


def test_a_plan_comes_back_and_is_not_legible() -> None:
    plan = Plan(Subject("label", "user:ada-lovelace"), {7: "watch of ada-lovelace"}, ["series:w"], ["ada-lovelace"])
    plan.models, plan.rewritten, plan.waits = {"series:w": ["run"]}, [("fleet:f", 2)], {"job_1": "lease_1"}
    assert Plan.unpacked(plan.packed()) == plan
    assert b"lovelace" not in plan.packed()


@pytest.fixture
def signatures(tmp_path: Path) -> Signatures:
    return Signatures(SigningSettings(), tmp_path)


def signed(signatures: Signatures, certificate: dict[str, Any]) -> dict[str, Any]:
    made = signatures.sign(encoded(certificate))
    return {"certificate": certificate, "signature": made.text, "signed_by": made.key_id}


def test_a_certificate_is_good_as_it_was_signed_alone(signatures: Signatures, tmp_path: Path) -> None:
    certificate = {"type": STATEMENT, "counts": {"a": 1}, "words": "São"}
    told = signed(signatures, certificate)
    assert judge(signatures, told) is Verdict.GOOD
    assert judge(signatures, {**told, "certificate": {**certificate, "counts": {"a": 2}}}) is Verdict.WRONG
    assert judge(Signatures(SigningSettings(), tmp_path / "b"), told) is Verdict.UNKNOWN_KEY
    assert judge(signatures, {**told, "signature": ""}) is Verdict.MISSING
    assert judge(signatures, {**told, "signed_by": BEFORE}) is Verdict.MISSING


@pytest.mark.parametrize("certificate", [None, [], "x", {}, {"type": "atalaia.model.v1"}, 7])
def test_what_is_no_certificate_is_wrong(signatures: Signatures, certificate: Any) -> None:
    assert judge(signatures, {"certificate": certificate, "signature": "s", "signed_by": "k"}) is Verdict.WRONG


def test_a_signature_of_something_else_is_none_of_a_certificate(signatures: Signatures) -> None:
    told = signed(signatures, {"type": "atalaia.model.v1"})
    assert judge(signatures, told) is Verdict.WRONG


def test_what_was_never_asked_for_is_missing(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    with database.write() as session:
        for look in (erasure, certified):
            with pytest.raises(Missing):
                look(session, "ers_1")
    database.close()
