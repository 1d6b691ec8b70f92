"""A document of an issuer is read, or it is said why not; nothing else comes of it."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from atalaia.connectors.oidc import ProviderDocuments
from atalaia.core.errors import Unavailable

pytestmark = pytest.mark.slow
ANSWERS: dict[str, tuple[int, bytes]] = {
    "/good": (200, b'{"keys": []}'),
    "/list": (200, b"[]"),
    "/rubbish": (200, b"<html>"),
    "/text": (200, b'{"a": "\xff"}'),
    "/broken": (500, b"{}"),
    "/elsewhere": (302, b"{}"),
    "/large": (200, b" " * (2**20 + 1) + b"{}"),
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers from the table."""

    def do_GET(self) -> None:
        status, body = ANSWERS.get(self.path, (404, b"{}"))
        self.send_response(status)
        self.send_header("Location", "/good")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_document_is_read(url: str) -> None:
    assert ProviderDocuments().get(f"{url}/good") == {"keys": []}


@pytest.mark.parametrize("path", ["/list", "/rubbish", "/text", "/broken", "/elsewhere", "/large", "/gone"])
def test_what_is_no_document_is_refused(url: str, path: str) -> None:
    with pytest.raises(Unavailable) as refused:
        ProviderDocuments().get(url + path)
    assert refused.value.code == "issuer_unavailable"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "ftp://127.0.0.1/", "http://", "nonsense", "http://[x"])
def test_an_address_where_nobody_answers_is_refused(url: str) -> None:
    with pytest.raises(Unavailable):
        ProviderDocuments(timeout_s=1).get(url)
