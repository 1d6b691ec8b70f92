"""``atalaia privacy``: nothing goes before somebody agreed, and a certificate is held against key and subject."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atalaia.kit.erasures import STATEMENT, Subject, encoded
from atalaia.kit.privacy import Privacy, PrivacySettings
from atalaia.kit.signatures import Signatures, SigningSettings

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

FOUND = {"series": 2, "series_ids": ["a", "b"], "points": 9, "anomalies": 1, "models": 1, "fleet_models": 3}
CERTIFICATE = {"certificate": {"type": STATEMENT, "certificate_id": "ers_1"}, "signature": "s", "signed_by": "k"}


@pytest.fixture
def asked(service: "Service") -> "Service":
    service.answers |= {
        "POST /privacy/subjects/find": FOUND,
        "DELETE /privacy/subjects": {"job_id": "job_1", "status": "queued", "certificate_id": "ers_1"},
        "GET /jobs/job_1": {"job_id": "job_1", "status": "completed"},
        "GET /privacy/certificates/ers_1": CERTIFICATE,
    }
    return service


def test_a_dry_run_says_what_would_go(asked: "Service") -> None:
    result = asked.run("privacy", "erase", "--label", "user:ada", "--dry-run", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, FOUND)
    assert asked.sent("DELETE") == []


def test_without_consent_nothing_goes(asked: "Service") -> None:
    result = asked.run("privacy", "erase", "--label", "user:ada", text="n\n")
    assert result.exit_code == 1
    assert "2 series, 9 points" in result.stderr
    assert asked.sent("DELETE") == []


@pytest.mark.parametrize(("consent", "text"), [(["--yes"], None), ([], "y\n")])
def test_with_consent_the_certificate_is_shown(asked: "Service", consent: list[str], text: str | None) -> None:
    result = asked.run("privacy", "erase", "--series-id", "a", *consent, "-o", "json", text=text)
    assert (result.exit_code, json.loads(result.stdout)) == (0, CERTIFICATE)
    assert asked.sent("DELETE") == [{"series_id": "a"}]


def test_a_job_that_fails_fails_the_command(asked: "Service") -> None:
    asked.answers["GET /jobs/job_1"] = {"job_id": "job_1", "status": "failed", "error": {"detail": "no"}}
    assert asked.run("privacy", "erase", "--series-id", "a", "--yes").exit_code == 1


@pytest.mark.parametrize("named", [[], ["--series-id", "a", "--label", "b:c"]])
def test_exactly_one_subject_is_named(asked: "Service", named: list[str]) -> None:
    assert asked.run("privacy", "erase", "--yes", *named).exit_code == 2
    assert asked.requests == []


def written(folder: Path, **more: Any) -> Path:
    """Write a certificate of a label, signed by the site in the folder."""
    privacy = Privacy(PrivacySettings(), folder)
    hashed = privacy.keyed(str(Subject("label", "user:ada")))
    certificate = {"type": STATEMENT, "certificate_id": "ers_1", "subject": {"hash": f"hmac-sha256:{hashed}"}}
    made = Signatures(SigningSettings(), folder).sign(encoded(certificate))
    told = {"certificate": {**certificate, **more}, "signature": made.text, "signed_by": made.key_id}
    file = folder / "certificate.json"
    file.write_text(json.dumps(told, indent=2))
    return file


@pytest.mark.parametrize(
    ("named", "more", "code"),
    [
        ([], {}, 0),
        (["--label", "user:ada"], {}, 0),
        (["--label", "user:bob"], {}, 1),
        (["--series-id", "user:ada"], {}, 1),
        ([], {"counts": {"points": 1}}, 1),
    ],
)
def test_a_certificate_is_verified(
    service: "Service", tmp_path: Path, named: list[str], more: dict[str, Any], code: int
) -> None:
    file = written(tmp_path, **more)
    result = service.run("privacy", "verify", str(file), "--data-dir", str(tmp_path), *named, "-o", "json")
    assert result.exit_code == code, result.stderr
    assert service.requests == []


def test_whom_it_is_of_is_not_guessed_without_the_secret_of_the_site(service: "Service", tmp_path: Path) -> None:
    file = written(tmp_path)
    secret = tmp_path / "secrets" / "privacy.key"
    secret.unlink()
    result = service.run("privacy", "verify", str(file), "--data-dir", str(tmp_path), "--label", "user:ada")
    assert result.exit_code == 3
    assert "secret" in result.stderr
    assert not secret.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"certificate": 7}', "\x00\xff", "[" * 100_000])
def test_what_is_no_certificate_is_refused(service: "Service", tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    result = service.run("privacy", "verify", str(file), "--data-dir", str(tmp_path))
    assert result.exit_code not in (0, 1)
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_is_missing(service: "Service", tmp_path: Path) -> None:
    assert service.run("privacy", "verify", str(tmp_path / "no.json"), "--data-dir", str(tmp_path)).exit_code == 3
