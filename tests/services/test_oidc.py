"""Tokens of a real OpenID provider: those that count, and every way to make one that must not."""

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from atalaia.app.embedded import Embedded
from atalaia.app.outside import outside
from atalaia.app.settings import load_settings
from tests.kit.auth.tokens import unsigned
from tests.parts.oidc import Provider

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["RS256", "ES256"])
def provider(request: pytest.FixtureRequest, parts_folder: Path) -> Iterator[Provider]:
    with Provider(parts_folder / f"oidc-{request.param}", algorithm=request.param) as provider:
        yield provider


class Service:
    """A service that takes tokens of a provider."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=30)

    def get(self, token: str, path: str = "/api/v1/series") -> str:
        answer = self._http.get(path, headers={"Authorization": f"Bearer {token}"})
        return "ok" if answer.status_code == 200 else f"{answer.status_code} {answer.json()['code']}"

    def me(self, token: str) -> Any:
        return self._http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}).json()

    def predict(self, token: str) -> int:
        body = {"timestamp": 1_700_000_000, "value": 1.0}
        headers = {"Authorization": f"Bearer {token}"}
        return self._http.post("/api/v1/predict/x", json=body, headers=headers).status_code

    def close(self) -> None:
        self._http.close()


@contextmanager
def service_of(provider: Provider, folder: Path, **more: Any) -> Generator[Service]:
    settings = {
        "data_dir": folder / "data",
        "port": 0,
        "auth.mode": "on",
        "auth.issuer": provider.issuer,
        "auth.role_claim": "realm.roles",
        "auth.jwks_pause_s": 0.2,
        "auth.leeway_s": 0,
        **more,
    }
    with ExitStack() as stack:
        running = stack.enter_context(Embedded(load_settings(settings)))
        service = Service(running.url)
        stack.callback(service.close)
        yield service


@pytest.fixture(scope="module")
def service(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service_of(provider, tmp_path_factory.mktemp("oidc")) as service:
        yield service


def test_a_token_of_the_provider_lets_its_holder_in(service: Service, provider: Provider) -> None:
    me = service.me(provider.token("ml_engineer"))
    assert (me["subject"], me["role"]) == ("oidc:ml_engineer", "ml_engineer")
    assert service.get(provider.token("viewer")) == "ok"


def test_a_check_up_asks_the_provider_for_its_keys(provider: Provider) -> None:
    for issuer, ok in ((provider.issuer, True), (provider.issuer + "/other", False)):
        (found,) = outside(load_settings({"auth.mode": "on", "auth.issuer": issuer}))
        assert (found.check, found.ok) == ("issuer", ok), found


def test_the_hot_door_asks_for_the_same(service: Service, provider: Provider) -> None:
    assert service.predict(provider.token("ml_engineer")) == 404  # it was let in, and there is no such series
    assert service.predict(provider.token("viewer")) == 403
    assert service.predict("rubbish") == 401


def test_a_role_that_is_not_known_here_lets_nobody_in(service: Service, provider: Provider) -> None:
    assert service.get(provider.token("nobody")) == "403 no_role"


def test_a_token_for_another_audience_is_refused(service: Service, provider: Provider) -> None:
    assert service.get(provider.token("viewer", "urn:other")) == "401 invalid_token"


def test_a_token_of_another_issuer_is_refused(service: Service, parts_folder: Path, provider: Provider) -> None:
    with Provider(parts_folder / f"other-{provider.algorithm}", algorithm=provider.algorithm) as other:
        assert service.get(other.token("viewer")) == "401 invalid_token"  # its key has the same name


def test_a_token_ends(service: Service, provider: Provider) -> None:
    token = provider.token("viewer", "urn:short")
    assert service.get(token) == "ok"
    time.sleep(2.1)
    assert service.get(token) == "401 token_expired"
    assert service.predict(token) == 401


def claims_of(provider: Provider) -> dict[str, Any]:
    return jwt.decode(provider.token("ml_engineer"), options={"verify_signature": False})


@pytest.mark.parametrize("kind", ["none", "None", "nOnE"])
def test_a_token_without_a_signature_is_refused(service: Service, provider: Provider, kind: str) -> None:
    for header in ({"alg": kind, "kid": "one"}, {"alg": kind}, {"alg": kind, "typ": "at+jwt", "kid": "one"}):
        assert service.get(unsigned(header, claims_of(provider))) == "401 invalid_token"


def test_the_public_key_as_a_secret_signs_nothing(service: Service, provider: Provider) -> None:
    public = provider.key.public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(provider.jwks()["keys"][0]).encode(),
    ]
    for secret in secrets:
        for algorithm, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
            head = {"alg": algorithm, "kid": "one", "typ": "at+jwt"}
            body = unsigned(head, claims_of(provider))[:-1]
            mac = base64.urlsafe_b64encode(hmac.new(secret, body.encode(), digest).digest()).rstrip(b"=").decode()
            assert service.get(f"{body}.{mac}") == "401 invalid_token"


class Trap:
    """A server that notes whoever asks it for keys."""

    def __init__(self, jwks: Any) -> None:
        asked = self.asked = list[str]()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(jwks).encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Trap":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_a_token_cannot_bring_its_own_key(service: Service, provider: Provider) -> None:
    mine = rsa.generate_private_key(65_537, 2048)
    jwk = {**RSAAlgorithm.to_jwk(mine.public_key(), as_dict=True), "kid": "mine", "alg": "RS256"}
    with Trap({"keys": [jwk]}) as trap:
        headers: list[dict[str, Any]] = [{"jku": trap.url}, {"x5u": trap.url}, {"jwk": jwk}]
        for header in headers:
            for kid in ("mine", "one", trap.url, "../../etc/passwd", "/dev/null", "x' OR 1=1 --", ""):
                token = jwt.encode(claims_of(provider), mine, algorithm="RS256", headers={**header, "kid": kid})
                assert service.get(token) == "401 invalid_token"
        assert trap.asked == []


@pytest.mark.parametrize("size", [9_000, 30_000])
def test_a_token_that_is_too_large_is_refused(service: Service, provider: Provider, size: int) -> None:
    claims = {**claims_of(provider), "pad": "x" * size}
    token = jwt.encode(claims, provider.key, algorithm=provider.algorithm, headers={"kid": "one"})
    assert service.get(token) == "401 invalid_token"


def test_a_changed_token_is_refused(service: Service, provider: Provider) -> None:
    head, _, signature = provider.token("viewer").split(".")
    body = unsigned({}, {**claims_of(provider), "sub": "root"}).split(".")[1]
    assert service.get(f"{head}.{body}.{signature}") == "401 invalid_token"


def test_keys_turn_and_hold_while_the_provider_is_down(provider: Provider, tmp_path: Path) -> None:
    with service_of(provider, tmp_path) as service:
        first = provider.token("viewer")
        assert service.get(first) == "ok"
        provider.turn("two")
        time.sleep(0.3)
        second = provider.token("ml_engineer")
        assert service.get(second) == "ok"
        third = provider.token("viewer")
        provider.stop()
        try:
            assert service.get(third) == "ok"  # verified by a key that is known
            assert service.get(unsigned({"alg": provider.algorithm, "kid": "x"}, {}, "x")) == "401 invalid_token"
        finally:
            provider.start()


def test_a_provider_that_was_never_reached_is_told_apart_until_it_comes(provider: Provider, tmp_path: Path) -> None:
    token = provider.token("viewer")
    provider.stop()
    try:
        with service_of(provider, tmp_path) as service:
            assert service.get(token) == "503 issuer_unavailable"
            provider.start()
            time.sleep(0.3)
            assert service.get(token) == "ok"
    finally:
        if not provider.is_running:
            provider.start()
