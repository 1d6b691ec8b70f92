"""A service that others can reach: TLS, pages of others, and callers who send what nobody waits for."""

import socket
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.app.embedded import Embedded
from atalaia.app.settings import load_settings
from atalaia.kit.web import hot_protocol, middleware
from atalaia.kit.web.tls import TlsSettings
from tests.journeys.servers import until
from tests.kit.web.certificates import Authority

pytestmark = pytest.mark.slow
PAGE = "https://ops.example"


@contextmanager
def running(folder: Path, **settings: Any) -> Generator[Embedded]:
    with Embedded(load_settings({"data_dir": folder / "data", "port": 0, **settings})) as service:
        yield service


def told(tls: TlsSettings) -> dict[str, Any]:
    return {f"tls.{name}": value for name, value in tls if value is not None}


def client(service: Embedded, authority: Authority, own: TlsSettings | None = None) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(authority.file))
    if own is not None:
        context.load_cert_chain(str(own.cert_file), str(own.key_file))
    return httpx.Client(base_url=service.url, verify=context, trust_env=False)


def serial(service: Embedded) -> bytes | None:
    host, port = service.url.removeprefix("https://").split(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain) as wrapped:
        return wrapped.getpeercert(binary_form=True)


def test_it_speaks_tls_and_takes_up_a_new_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atalaia.kit.web.tls._LOOK_EVERY_S", 0.1)
    authority = Authority(tmp_path)
    with running(tmp_path, **told(authority.issue("server"))) as service:
        assert service.url.startswith("https://")
        with client(service, authority) as http:
            answer = http.get("/api/v1/liveness")
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            hot = http.post("/api/v1/predict/x", json={"timestamp": 1, "value": 1.0})
            assert (hot.status_code, hot.headers["x-content-type-options"]) == (404, "nosniff")
        first = serial(service)
        authority.issue("server")
        until(lambda: serial(service) != first, "the new certificate")
        with client(service, authority) as http:
            assert http.get("/api/v1/liveness").status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(service.url.replace("https", "http"), trust_env=False)


def test_callers_without_a_certificate_are_refused_when_they_need_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine = authority.issue("client")
    tls = authority.issue("server").model_copy(update={"client_ca_file": authority.file})
    with running(tmp_path, **told(tls)) as service:
        with client(service, authority, mine) as http:
            assert http.get("/api/v1/liveness").status_code == 200
        with client(service, authority) as http, pytest.raises(httpx.TransportError):
            http.get("/api/v1/liveness")


def test_with_authentication_on_others_may_reach_it(tmp_path: Path) -> None:
    with running(tmp_path, host="0.0.0.0", **{"auth.mode": "on"}) as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/api/v1/liveness", trust_env=False).status_code == 200
        assert httpx.get(f"{url}/api/v1/series", trust_env=False).status_code == 401
        mine = {"Authorization": f"Bearer {service.token()}"}  # of the program that it is embedded in
        assert httpx.get(f"{url}/api/v1/auth/users", headers=mine, trust_env=False).status_code == 200


@pytest.fixture
def plain(tmp_path: Path) -> Generator[Embedded]:
    with running(tmp_path, cors_origins=[PAGE]) as service:
        yield service


def test_pages_of_others_may_call_if_they_are_named(plain: Embedded) -> None:
    with httpx.Client(base_url=plain.url, trust_env=False) as http:
        wish = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        asked = http.options(
            "/api/v1/predict/x", headers={**wish, "Access-Control-Request-Headers": "authorization,content-type"}
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == PAGE
        assert "access-control-allow-credentials" not in asked.headers
        for origin, allowed in ((PAGE, PAGE), ("https://evil.example", None), ("null", None)):
            hot = http.post("/api/v1/predict/x", json={"timestamp": 1, "value": 1.0}, headers={"Origin": origin})
            assert (hot.status_code, hot.json()["code"]) == (404, "unknown_series")
            assert hot.headers.get("access-control-allow-origin") == allowed
            assert (
                http.get("/api/v1/series", headers={"Origin": origin}).headers.get("access-control-allow-origin")
                == allowed
            )
        assert http.options("/api/v1/series", headers={**wish, "Origin": "https://evil.example"}).status_code == 400


def test_without_the_setting_no_page_of_others_may_call(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        answer = httpx.get(f"{service.url}/api/v1/series", headers={"Origin": PAGE}, trust_env=False)
        assert "access-control-allow-origin" not in answer.headers


def test_answers_tell_browsers_to_do_no_more_with_them(plain: Embedded) -> None:
    with httpx.Client(base_url=plain.url, trust_env=False) as http:
        for path, policy in (("/api/v1/series", "default-src 'none'"), ("/docs", "default-src 'self'")):
            headers = http.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["content-security-policy"].startswith(policy)
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "strict-transport-security" not in headers
        assert http.get("/api/v1/auth/me").headers["cache-control"] == "no-store"


def raw(service: Embedded, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send pieces and return all that comes until the service hangs up."""
    host, port = service.url.removeprefix("http://").split(":")
    got = b""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
            while part := connection.recv(65_536):
                got += part
        except (BrokenPipeError, ConnectionResetError):
            pass
    return got


def test_a_head_without_an_end_is_refused(plain: Embedded) -> None:
    for begin in (b"GET /" + b"x" * 30_000, b"GET / HTTP/1.1\r\nX: " + b"x" * 30_000):
        answer = raw(plain, begin, *[b"x" * 30_000] * 4, pause_s=0.05)
        assert not answer or answer.startswith(b"HTTP/1.1 4")  # what still comes may cut the answer off
    many = b"".join(b"X-%d: %s\r\n" % (turn, b"y" * 1000) for turn in range(40))
    answer = raw(plain, b"GET / HTTP/1.1\r\n", many, many, pause_s=0.05)
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_head_that_does_not_end_is_not_waited_for(plain: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_protocol, "PATIENCE_S", 0.3)
    began = time.monotonic()
    assert raw(plain, b"GET / HTTP/1.1\r\nHost: h\r\n", b"X: ") == b""
    assert time.monotonic() - began < 5


def test_a_body_that_does_not_come_is_not_waited_for(plain: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "PATIENCE_S", 0.3)
    head = b"PUT /api/v1/fleets/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\nConnection: close\r\n\r\n"
    answer = raw(plain, head, b'{"series_ids":')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"slow_body"' in answer


def test_a_long_request_after_its_body_is_not_taken_for_a_slow_one(
    plain: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "PATIENCE_S", 0.001)
    monkeypatch.setattr(hot_protocol, "PATIENCE_S", 0.3)
    with httpx.Client(base_url=plain.url, trust_env=False) as http:
        for _ in range(3):
            assert http.get("/api/v1/series").status_code == 200
            time.sleep(0.5)
