"""A signature counts if a believed key made it of exactly these bytes."""

import base64
import stat
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from atalaia.core.errors import Invalid
from atalaia.core.models import ModelKey, Scope, Statement
from atalaia.kit.keys import keep_secret, make_private
from atalaia.kit.signatures import BEFORE, Signatures, SigningSettings, Verdict

SAID = b'{"model":"series:a"}'


def signatures(folder: Path, **settings: Any) -> Signatures:
    return Signatures(SigningSettings(**settings), folder)


def test_what_was_signed_is_good_and_all_else_is_not(tmp_path: Path) -> None:
    site = signatures(tmp_path)
    made = site.sign(SAID)
    assert site.judge(SAID, made.text, made.key_id) is Verdict.GOOD
    assert site.judge(SAID + b" ", made.text, made.key_id) is Verdict.WRONG
    assert site.judge(SAID, site.sign(b"other").text, made.key_id) is Verdict.WRONG


@pytest.mark.parametrize("text", ["x", "é" * 86, "*" * 86, "A" * 85, "A" * 87])
def test_what_is_no_signature_is_wrong(tmp_path: Path, text: str) -> None:
    site = signatures(tmp_path)
    assert site.judge(SAID, text, site.public_key()[0]) is Verdict.WRONG


def test_a_signature_has_one_form_only(tmp_path: Path) -> None:
    """Base64 of 64 bytes has four bits too many; those must be zero."""
    site = signatures(tmp_path)
    made = site.sign(SAID)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = made.text[:-1] + letters[letters.index(made.text[-1]) + 1]
    assert base64.urlsafe_b64decode(other + "==") == base64.urlsafe_b64decode(made.text + "==")
    assert site.judge(SAID, other, made.key_id) is Verdict.WRONG


def test_a_missing_signature_is_told_from_one_of_before(tmp_path: Path) -> None:
    site = signatures(tmp_path)
    made = site.sign(SAID)
    assert site.judge(SAID, None, None) is Verdict.MISSING
    assert site.judge(SAID, "", made.key_id) is Verdict.MISSING
    assert site.judge(SAID, None, BEFORE) is Verdict.BEFORE


@pytest.mark.parametrize(
    ("required", "accepted"),
    [
        ("off", {Verdict.GOOD, Verdict.BEFORE, Verdict.MISSING}),
        ("new", {Verdict.GOOD, Verdict.BEFORE}),
        ("all", {Verdict.GOOD}),
    ],
)
def test_what_is_accepted_is_a_setting(
    tmp_path: Path, required: Literal["off", "new", "all"], accepted: set[Verdict]
) -> None:
    site = signatures(tmp_path, required=required)
    assert {verdict for verdict in Verdict if site.accepts(verdict)} == accepted


def test_a_signature_of_another_site_counts_only_if_it_is_trusted(tmp_path: Path) -> None:
    theirs, ours = signatures(tmp_path / "theirs"), signatures(tmp_path / "ours")
    made, (_, text, pem) = theirs.sign(SAID), theirs.public_key()
    assert ours.judge(SAID, made.text, made.key_id) is Verdict.UNKNOWN_KEY
    (tmp_path / "theirs.pub.pem").write_text(pem)
    for trusted in (text, str(tmp_path / "theirs.pub.pem")):
        believing = signatures(tmp_path / "ours", trusted=(trusted,))
        assert believing.judge(SAID, made.text, made.key_id) is Verdict.GOOD


def test_a_rotated_key_goes_on_to_count_while_it_is_trusted(tmp_path: Path) -> None:
    old = signatures(tmp_path)
    made, (_, text, _) = old.sign(SAID), old.public_key()
    make_private(tmp_path / "new.pem")
    rotated = signatures(tmp_path, key_file=tmp_path / "new.pem", trusted=(text,))
    assert rotated.judge(SAID, made.text, made.key_id) is Verdict.GOOD
    assert rotated.sign(SAID).key_id != made.key_id
    forgotten = signatures(tmp_path, key_file=tmp_path / "new.pem")
    assert forgotten.judge(SAID, made.text, made.key_id) is Verdict.UNKNOWN_KEY


def test_who_only_verifies_makes_no_key(tmp_path: Path) -> None:
    made = signatures(tmp_path / "worker").sign(SAID)
    predictor = signatures(tmp_path / "predictor")
    assert predictor.judge(SAID, made.text, made.key_id) is Verdict.UNKNOWN_KEY
    assert not (tmp_path / "predictor").exists()


def test_a_key_that_another_process_makes_later_is_found(tmp_path: Path) -> None:
    predictor = signatures(tmp_path)
    assert predictor.judge(SAID, "A" * 86, "unknown") is Verdict.UNKNOWN_KEY
    made = signatures(tmp_path).sign(SAID)
    assert predictor.judge(SAID, made.text, made.key_id) is Verdict.GOOD


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    signatures(tmp_path).prepare()
    first = signatures(tmp_path).public_key()
    assert signatures(tmp_path).public_key() == first
    (file,) = (tmp_path / "secrets").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """And none is made in its place: it was named because it is kept elsewhere."""
    with pytest.raises(Invalid, match=r"gone\.pem"):
        signatures(tmp_path, key_file=tmp_path / "gone.pem").prepare()


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1())
    keep_secret(tmp_path / "ec.pem", other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(Invalid, match="another kind"):
        signatures(tmp_path, key_file=tmp_path / "ec.pem").prepare()
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ec.pub.pem").write_bytes(public)
    with pytest.raises(Invalid, match="another kind"):
        signatures(tmp_path, trusted=(str(tmp_path / "ec.pub.pem"),))


@pytest.mark.parametrize("told", ["", "nothing.pem", "A" * 44, "é"])
def test_a_trusted_key_that_is_none_is_refused_at_the_start(tmp_path: Path, told: str) -> None:
    with pytest.raises(Invalid, match="no Ed25519 public key"):
        signatures(tmp_path, trusted=(told,))


def test_a_statement_is_always_the_same_bytes() -> None:
    said = Statement(ModelKey(Scope.SERIES, "pump é"), "ab" * 32, "statistical", "job_1", 17).encoded()
    assert said.decode() == (
        '{"algorithm":"statistical","created_at":17,"job_id":"job_1","model":"series:pump \\u00e9",'
        f'"sha256":"{"ab" * 32}","type":"atalaia.model.v1"}}'
    )
