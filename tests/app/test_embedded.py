"""Served on loopback only, started and stopped as often as one likes."""

import errno
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.app import embedded
from atalaia.app.build import Atalaia
from atalaia.app.embedded import Embedded, listen, run_role, serve
from atalaia.app.settings import ROLES, Settings, load_settings
from atalaia.core.clock import MICROS
from atalaia.core.errors import Conflict, Denied, Unavailable

START_US = 1_700_000_000 * MICROS
Harm = Callable[[Path], object]


@pytest.fixture
def settings(tmp_path: Path, quiet_log: None) -> Settings:
    return load_settings({"data_dir": tmp_path / "data", "port": 0})


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("atalaia-")}


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "192.168.1.7", "10.0.0.1", "8.8.8.8", "example.org", "localhost.example.org", "", "127.1"],
)
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(Denied) as refused:
        listen(host, 0)
    assert refused.value.code == "not_loopback"
    assert "127.0.0.1" in refused.value.detail


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "::1"])
def test_loopback_is_listened_on(host: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = listen(host, 0)
    except Conflict as refused:
        if isinstance(refused.__cause__, OSError) and refused.__cause__.errno == errno.EADDRNOTAVAIL:
            pytest.skip(f"no {host} here")
        raise
    with listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.slow
def test_a_shared_port_is_for_several_processes() -> None:
    with listen("127.0.0.1", 0, shared=True) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port, shared=True) as second:
            assert second.getsockname()[1] == port
        with pytest.raises(Conflict):
            listen("127.0.0.1", port)


@pytest.mark.slow
def test_a_port_that_is_taken_is_a_conflict(settings: Settings) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port}.*--port") as refused:
            listen("127.0.0.1", port)
        assert refused.value.code == "port_in_use"
        with pytest.raises(Conflict), Embedded(load_settings({"data_dir": settings.data_dir, "port": port})):
            pass
    assert not settings.data_dir.exists()


@pytest.mark.slow
def test_it_starts_and_stops_again_and_again_on_one_folder(settings: Settings) -> None:
    for turn in range(3):
        with Embedded(settings) as running:
            with httpx.Client(base_url=running.url, trust_env=False) as http:
                assert http.get("/api/v1/readiness").json() == {"status": "ready"}
                row = {"series_id": "a", "timestamp": 1_700_000_000 + turn, "value": 1.0}
                http.post("/api/v1/points", json={"points": [row]}).raise_for_status()
                assert len(http.get("/api/v1/series/a/points").json()["points"]) == turn + 1
                assert "SwaggerUIBundle" in http.get("/docs/static/swagger-ui-bundle.js").text
            assert "atalaia-http" in threads()
        assert threads() == set()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{running.url}/health", trust_env=False)


@pytest.mark.slow
def test_two_stand_beside_each_other(settings: Settings, tmp_path: Path) -> None:
    other = load_settings({"data_dir": tmp_path / "other", "port": 0})
    with Embedded(settings) as first, Embedded(other) as second:
        assert first.url != second.url
        for running in (first, second):
            assert httpx.get(f"{running.url}/health", trust_env=False).json()["roles"] == sorted(ROLES)


class Stillborn:
    """A server that ends before it has started."""

    started = False
    should_exit = False

    def run(self, sockets: list[socket.socket]) -> None:
        """End."""


@pytest.mark.slow
def test_a_server_that_does_not_start_leaves_nothing_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_server", lambda *_: Stillborn())
    service = Embedded(settings)
    with pytest.raises(Unavailable, match="did not start") as refused, service:
        pass
    assert refused.value.code == "not_ready"
    assert threads() == set()
    listen("127.0.0.1", int(service.url.rsplit(":", 1)[1])).close()


@pytest.mark.slow
def test_a_service_that_cannot_start_leaves_nothing_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: Atalaia, roles: tuple[str, ...] = ()) -> None:
        self.messenger.start()
        raise Unavailable("database_unavailable", "gone")

    monkeypatch.setattr(Atalaia, "start", half)
    with pytest.raises(Unavailable, match="gone"), Embedded(settings):
        pass
    assert threads() == set()


class Instant:
    """A server that has served."""

    def __init__(self, atalaia: Atalaia, seen: list[Any]) -> None:
        self._atalaia = atalaia
        self._seen = seen

    def run(self, sockets: list[socket.socket]) -> None:
        """Note what is open, and end as SIGTERM ends it."""
        self._seen.append((self._atalaia.roles, self._atalaia.is_ready, len(sockets)))
        raise SystemExit(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "roles"), [(serve, ROLES), (lambda settings: run_role(settings, "worker"), ("worker",))]
)
def test_in_the_foreground_it_ends_in_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, run: Callable[[Settings], None], roles: tuple[str, ...]
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(embedded, "_server", lambda atalaia, *_: Instant(atalaia, seen))
    monkeypatch.setattr(embedded, "configure_logs", lambda **_: None)
    monkeypatch.setattr(embedded.signal, "signal", lambda number, handler: seen.append(handler))
    with pytest.raises(SystemExit):
        run(settings)
    assert seen[1] == (frozenset(roles), True, 1)
    assert threads() == set()
    with pytest.raises(SystemExit) as ended:
        seen[0](15, None)
    assert ended.value.code == 0
