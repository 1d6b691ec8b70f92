"""A token counts if it was signed by a key that is trusted, for us, for now, and by nobody else's wish."""

import base64
import hashlib
import hmac
import json
import stat
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError, Denied, Invalid, Unavailable
from atalaia.kit.auth import store
from atalaia.kit.auth.access import MAX_TOKEN_BYTES, Access
from atalaia.kit.auth.permissions import Role
from atalaia.kit.auth.settings import AuthSettings
from atalaia.kit.auth.signing import load_key
from atalaia.kit.auth.users import Users
from atalaia.kit.database import Database
from tests.kit.auth.conftest import PASSWORD
from tests.kit.auth.tokens import ISSUER, Issuer, bearer, unsigned

Open = Callable[..., Access]


def refusal(access: Access, token: str | bytes) -> str:
    with pytest.raises(AtalaiaError) as refused:
        access.verify(token if isinstance(token, bytes) else bearer(token))
    return refused.value.code


def own_claims(**more: Any) -> dict[str, Any]:
    now = now_us() / MICROS
    claims = {"iss": "urn:atalaia", "aud": "atalaia", "sub": "service:x", "role": "admin", "iat": now}
    return {**claims, "exp": int(now) + 60, "jti": "tok_1", **more}


# our own


def test_a_token_of_ours_says_who_calls(access: Access) -> None:
    token, token_id, until = access.key.sign("service:prometheus", Role.AGENT, 60)
    principal = access.verify(bearer(token))
    assert (principal.subject, principal.role, principal.token_id) == ("service:prometheus", Role.AGENT, token_id)
    assert principal.until_us == until
    assert access.known[bearer(token)] is principal


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER ", b"Bearer   "])
def test_the_scheme_may_be_written_as_one_likes(access: Access, scheme: bytes) -> None:
    token = access.key.sign("service:x", Role.VIEWER, 60)[0]
    assert access.verify(scheme + token.encode()).role is Role.VIEWER


@pytest.mark.parametrize(
    "header",
    [
        b"Basic YTpi",
        b"Bearer",
        b"Bearer ",
        b"Bearer a.b",
        b"Bearer a.b.c",
        b"Bearer \xff.a.b",
        b"x",
        b"Bearer ..",
        b",",
    ],
)
def test_what_is_no_token_is_refused(access: Access, header: bytes) -> None:
    assert refusal(access, header) == "invalid_token"


def test_nothing_is_refused_as_such(access: Access) -> None:
    assert refusal(access, b"") == "unauthenticated"


def test_a_token_that_has_expired_says_so(access: Access) -> None:
    assert refusal(access, access.key.sign("service:x", Role.VIEWER, -5)[0]) == "token_expired"


def test_a_token_that_is_too_large_is_not_looked_at(access: Access) -> None:
    token = access.key.sign("service:" + "x" * MAX_TOKEN_BYTES, Role.VIEWER, 60)[0]
    assert refusal(access, token) == "invalid_token"


@pytest.mark.parametrize("kind", ["none", "None", "NONE", "nOnE"])
def test_a_token_without_a_signature_is_refused(access: Access, kind: str) -> None:
    for header in ({"alg": kind, "kid": access.key.key_id}, {"alg": kind}, {"alg": kind, "kid": "one"}):
        assert refusal(access, unsigned(header, own_claims())) == "invalid_token"


def test_a_public_key_is_no_secret_to_sign_with(access: Access, issuer: Issuer) -> None:
    for jwk, kid in ((access.key.jwks()["keys"][0], access.key.key_id), (issuer.jwks()["keys"][0], "one")):
        secrets = [json.dumps(jwk).encode(), base64.urlsafe_b64decode(jwk["x"] + "==")]
        secrets.append(
            issuer.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        for secret in secrets:
            for claims in (own_claims(), issuer.claims()):
                body = unsigned({"alg": "HS256", "kid": kid, "typ": "JWT"}, claims)[:-1]
                mac = hmac.new(secret, body.encode(), hashlib.sha256).digest()
                forged = f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
                assert refusal(access, forged) == "invalid_token"


@pytest.mark.parametrize(
    "change",
    [{"iss": "urn:other"}, {"aud": "other"}, {"role": "emperor"}, {"exp": None}, {"jti": None}, {"sub": 7}],
)
def test_a_claim_that_is_not_ours_is_refused(access: Access, change: dict[str, Any]) -> None:
    claims = {name: value for name, value in own_claims(**change).items() if value is not None}
    token = jwt.encode(claims, access.key._private, algorithm="EdDSA", headers={"kid": access.key.key_id})
    assert refusal(access, token) in ("invalid_token", "no_role")


def test_another_key_under_our_name_is_refused(access: Access) -> None:
    token = jwt.encode(
        own_claims(), Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": access.key.key_id}
    )
    assert refusal(access, token) == "invalid_token"


def test_a_changed_token_is_refused(access: Access) -> None:
    head, _, signature = access.key.sign("service:x", Role.VIEWER, 60)[0].split(".")
    body = base64.urlsafe_b64encode(json.dumps(own_claims()).encode()).rstrip(b"=").decode()
    assert refusal(access, f"{head}.{body}.{signature}") == "invalid_token"


def test_headers_that_bring_a_key_are_not_looked_at(access: Access, issuer: Issuer) -> None:
    mine = Issuer()
    jwk = mine.jwks()["keys"][0]
    for more in ({"jwk": jwk}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example/x"}):
        for kid in ("one", "../../one", "https://evil.example/jwks", "one' OR '1'='1", "/dev/null"):
            assert refusal(access, mine.token(header={**more, "kid": kid})) == "invalid_token"
    assert issuer.asked <= 4


def test_a_token_revoked_counts_no_longer(access: Access, users: Users, database: Database) -> None:
    token, token_id, _ = access.key.sign("service:x", Role.VIEWER, 60)
    access.verify(bearer(token))
    with database.write() as session:
        users.revoke(session, token_id, "ada")
    assert access.known == {}
    assert refusal(access, token) == "invalid_token"


def test_the_last_list_holds_while_the_database_is_down(
    access: Access, users: Users, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, token_id, _ = access.key.sign("service:x", Role.VIEWER, 60)
    other = access.key.sign("service:y", Role.VIEWER, 60)[0]
    with database.write() as session:
        users.revoke(session, token_id, "ada")

    def down(*_: Any) -> None:
        raise Unavailable("database_unavailable", "gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "standing", down)
        assert access.refresh() is False
        assert refusal(access, token) == "invalid_token"
        assert access.verify(bearer(other)).role is Role.VIEWER
    access.refresh()
    assert refusal(access, token) == "invalid_token"


def test_a_revocation_is_forgotten_once_the_token_has_expired(database: Database) -> None:
    with database.write() as session:
        store.revoke(session, "old", 10, 5)
        store.revoke(session, "new", 30, 20)
        assert store.standing(session, 20).revoked == {"new"}
        assert session.get(store.RevokedTokenRow, "old") is None


@pytest.mark.parametrize(
    "change", [{"role": Role.VIEWER}, {"password": "eight taller towers"}, {"is_disabled": True}]
)
def test_tokens_of_a_user_who_changed_count_no_longer(
    users: Users, access: Access, database: Database, change: dict[str, Any]
) -> None:
    with database.write() as session:
        users.add(session, "root@example", PASSWORD, Role.ADMIN, "")
        users.add(session, "ada", PASSWORD, Role.ML_ENGINEER, "")
    token = users.login("ada", PASSWORD, "10.0.0.1").token
    assert access.verify(bearer(token)).role is Role.ML_ENGINEER
    with database.write() as session:
        users.change(session, "ada", "root@example", **change)
    assert refusal(access, token) == "invalid_token"
    if not change.get("is_disabled"):
        fresh = users.login("ada", change.get("password", PASSWORD), "10.0.0.1")
        assert access.verify(bearer(fresh.token)).role is change.get("role", Role.ML_ENGINEER)


def test_a_token_of_a_user_who_was_removed_counts_no_longer(
    users: Users, access: Access, database: Database
) -> None:
    with database.write() as session:
        users.add(session, "ada", PASSWORD, Role.VIEWER, "")
    token = users.login("ada", PASSWORD, "10.0.0.1").token
    with database.write() as session:
        users.remove(session, "ada", "root")
    assert refusal(access, token) == "invalid_token"


# the key


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, second = load_key(None, tmp_path), load_key(None, tmp_path)
    assert first.key_id == second.key_id
    (file,) = (tmp_path / "secrets").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "rubbish", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_key_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key.pem"
    file.write_text(text)
    with pytest.raises(Invalid, match=r"key\.pem"):
        load_key(file, tmp_path)


def test_others_can_verify_our_tokens_by_the_key_that_we_publish(access: Access) -> None:
    token = access.key.sign("service:x", Role.AGENT, 60)[0]
    key = jwt.PyJWKSet.from_dict(access.key.jwks())[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["EdDSA"], audience="atalaia")["role"] == "agent"


# an issuer's


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_token_of_the_issuer_says_who_calls(open_access: Open, issuer: Issuer, algorithm: str) -> None:
    issuer.algorithm = algorithm
    issuer.turn("one")
    principal = open_access().verify(bearer(issuer.token(jti="j1")))
    assert (principal.subject, principal.role, principal.token_id) == ("oidc:ada", Role.VIEWER, "j1")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://other.example"}, "invalid_token"),
        ({"iss": None}, "invalid_token"),
        ({"aud": "billing"}, "invalid_token"),
        ({"aud": None}, "invalid_token"),
        ({"sub": None}, "invalid_token"),
        ({"exp": None}, "invalid_token"),
        ({"exp": 1_000_000_000}, "token_expired"),
        ({"nbf": 4_000_000_000}, "invalid_token"),
        ({"iat": 4_000_000_000}, "invalid_token"),
        ({"roles": None}, "no_role"),
        ({"roles": []}, "no_role"),
        ({"roles": ["emperor"]}, "no_role"),
        ({"roles": {"admin": True}}, "no_role"),
        ({"roles": 7}, "no_role"),
    ],
)
def test_a_token_of_the_issuer_that_is_not_for_us_is_refused(
    access: Access, issuer: Issuer, claims: dict[str, Any], code: str
) -> None:
    assert refusal(access, issuer.token(**claims)) == code


def test_several_audiences_may_be_named(access: Access, issuer: Issuer) -> None:
    assert access.verify(bearer(issuer.token(aud=["billing", "atalaia"]))).role is Role.VIEWER


def test_an_id_token_of_another_type_is_refused(access: Access, issuer: Issuer) -> None:
    assert access.verify(bearer(issuer.token(header={"typ": "at+jwt"}))).role is Role.VIEWER
    assert refusal(access, issuer.token(header={"typ": "logout+jwt"})) == "invalid_token"


def test_an_algorithm_that_is_not_allowed_is_refused(open_access: Open, issuer: Issuer) -> None:
    assert refusal(open_access(algorithms=["RS256"]), issuer.token()) == "invalid_token"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512"])
def test_the_list_of_algorithms_cannot_hold_weak_ones(algorithm: str) -> None:
    with pytest.raises(ValueError, match="algorithms"):
        AuthSettings(algorithms=[algorithm])  # type: ignore[arg-type]


def test_without_an_issuer_only_our_own_count(open_access: Open, issuer: Issuer) -> None:
    assert refusal(open_access(issuer=None), issuer.token()) == "invalid_token"
    assert issuer.asked == 0


def test_the_address_of_keys_needs_an_issuer() -> None:
    with pytest.raises(ValueError, match="issuer"):
        AuthSettings(jwks_url="https://id.example/jwks")


@pytest.mark.parametrize(
    ("settings", "claims", "role"),
    [
        ({}, {"roles": ["viewer", "ml_engineer", "other"]}, Role.ML_ENGINEER),
        ({}, {"roles": "viewer data_scientist"}, Role.DATA_SCIENTIST),
        ({"role_claim": "realm_access.roles"}, {"realm_access": {"roles": ["admin"]}}, Role.ADMIN),
        ({"role_claim": "https://a.example/roles"}, {"https://a.example/roles": ["agent"]}, Role.AGENT),
        ({"role_claim": "groups", "roles": {"ops": "admin"}}, {"groups": ["staff", "ops"]}, Role.ADMIN),
    ],
)
def test_roles_are_read_where_the_settings_say(
    open_access: Open, issuer: Issuer, settings: dict[str, Any], claims: dict[str, Any], role: Role
) -> None:
    assert open_access(**settings).verify(bearer(issuer.token(**claims))).role is role


def test_a_mapping_replaces_the_names_of_roles(open_access: Open, issuer: Issuer) -> None:
    assert refusal(open_access(roles={"ops": "admin"}), issuer.token(roles=["admin"])) == "no_role"


def test_a_new_key_of_the_issuer_is_found(open_access: Open, issuer: Issuer) -> None:
    access = open_access(jwks_pause_s=0.000_001)
    first = issuer.token()
    access.verify(bearer(first))
    issuer.turn("two")
    assert access.verify(bearer(issuer.token())).subject == "oidc:ada"
    access.known.clear()
    assert refusal(access, first) == "invalid_token"  # its key was withdrawn


def test_the_issuer_is_not_asked_again_and_again(access: Access, issuer: Issuer) -> None:
    access.verify(bearer(issuer.token()))
    asked = issuer.asked
    for turn in range(50):
        assert refusal(access, issuer.token(header={"kid": f"no{turn}"})) == "invalid_token"
    assert issuer.asked == asked


def test_known_keys_hold_while_the_issuer_is_down(open_access: Open, issuer: Issuer) -> None:
    access = open_access(jwks_pause_s=0.000_001)
    access.verify(bearer(issuer.token()))
    issuer.is_down = True
    assert access.verify(bearer(issuer.token(sub="bob"))).subject == "oidc:bob"
    assert refusal(access, issuer.token(header={"kid": "two"})) == "invalid_token"


def test_an_issuer_that_was_never_reached_is_told_apart(open_access: Open, issuer: Issuer) -> None:
    access = open_access(jwks_pause_s=0.000_001)
    issuer.is_down = True
    assert refusal(access, issuer.token()) == "issuer_unavailable"
    issuer.is_down = False
    assert access.verify(bearer(issuer.token())).subject == "oidc:ada"


def test_a_document_of_another_issuer_is_not_believed(open_access: Open, issuer: Issuer) -> None:
    access = open_access(issuer=f"{ISSUER}/tenant")
    assert refusal(access, issuer.token(iss=f"{ISSUER}/tenant")) == "issuer_unavailable"


def test_a_revoked_token_of_the_issuer_is_refused(
    access: Access, issuer: Issuer, users: Users, database: Database
) -> None:
    with database.write() as session:
        users.revoke(session, "j1", "ada")
    assert refusal(access, issuer.token(jti="j1")) == "invalid_token"
    assert access.verify(bearer(issuer.token(jti="j2"))).subject == "oidc:ada"


def test_what_is_remembered_is_bounded(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atalaia.kit.auth.access._MOST_KNOWN", 3)
    for turn in range(10):
        access.verify(bearer(access.key.sign(f"service:{turn}", Role.VIEWER, 60)[0]))
    assert len(access.known) <= 3


def test_refusals_are_counted(access: Access, telemetry: Any) -> None:
    with pytest.raises(Denied):
        access.verify(b"Bearer x")
    assert b'auth_refused_total{code="invalid_token"} 1.0' in telemetry.render()


def test_looking_a_token_up_is_fast(access: Access) -> None:
    """The hot path pays this for each request; the bound is loose, because tests share their cores."""
    header = bearer(access.key.sign("service:x", Role.PREDICTOR, 60)[0])
    access.verify(header)
    assert min(timeit.repeat(lambda: access.known.get(bytes(header)), number=10_000, repeat=5)) / 10_000 < 5e-6


@pytest.mark.parametrize(("ahead_s", "is_good"), [(5, True), (3600, False)])
def test_an_issuer_may_be_a_little_ahead_of_us(
    access: Access, monkeypatch: pytest.MonkeyPatch, ahead_s: float, is_good: bool
) -> None:
    with monkeypatch.context() as there:
        there.setattr("atalaia.kit.auth.signing.now_us", lambda: now_us() + int(ahead_s * MICROS))
        token = access.key.sign("service:x", Role.VIEWER, 60)[0]
    if is_good:
        assert access.verify(bearer(token)).role is Role.VIEWER
    else:
        assert refusal(access, token) == "invalid_token"
