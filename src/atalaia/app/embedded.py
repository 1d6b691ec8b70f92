"""Atalaia in one process: served in the foreground, or embedded in another program."""

import gc
import ipaddress
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import NoReturn, Self

import uvicorn

from atalaia.app.build import Atalaia, build
from atalaia.app.pool import open_pool
from atalaia.app.server import make_app, with_front
from atalaia.app.settings import ROLES, Settings
from atalaia.core.errors import Conflict, Denied, Unavailable
from atalaia.kit.auth.permissions import Role
from atalaia.kit.logs import configure_logs
from atalaia.kit.web.hot_protocol import HotProtocol
from atalaia.kit.web.tls import TlsFiles, tls_files

_START_S = 60.0


def serve(settings: Settings) -> None:
    """Run all roles in this process until SIGTERM or Ctrl-C."""
    _run(settings, ROLES)


def run_role(settings: Settings, role: str) -> None:
    """Run one role in this process until SIGTERM or Ctrl-C. Every role answers health checks and metrics."""
    _run(settings, (role,))


def _run(settings: Settings, roles: tuple[str, ...]) -> None:
    configure_logs(level=settings.log_level, as_json=settings.log_format == "json")
    # uvicorn stops on SIGTERM and then raises it again: without a handler of ours that would end us before `close`
    signal.signal(signal.SIGTERM, _leave)
    tls = tls_files(settings.tls)
    listener = _listen(settings)
    atalaia = build(settings, may_remember=roles == ("predictor",))
    pool = open_pool(atalaia) if atalaia.dispatcher is not None and "worker" in roles else None
    try:
        if tls is not None:
            tls.start()
        atalaia.start(roles)
        if pool is not None:
            pool.start()
        server = _server(atalaia, tls)
        gc.collect()
        gc.freeze()  # what is loaded now stays: a collection that looks at all of it would halt everybody
        server.run(sockets=[listener])
    finally:
        if pool is not None:
            pool.stop(settings.shutdown_s)
        atalaia.close()
        if tls is not None:
            tls.stop()
        listener.close()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


class Embedded:
    """All roles in this process, the server in a thread of its own; a context manager.

    Attributes
    ----------
    url
        Where it answers, once entered.
    atalaia
        The service itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.url = ""

    def __enter__(self) -> Self:
        settings = self._settings
        with ExitStack() as started:
            listener = started.enter_context(_listen(settings))
            host, port = listener.getsockname()[:2]
            tls = tls_files(settings.tls)
            scheme = "http" if tls is None else "https"
            self.url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
            self.atalaia = build(settings)
            started.callback(self.atalaia.close)
            self.atalaia.start()
            if tls is not None:
                tls.start()
                started.callback(tls.stop)
            server = _server(self.atalaia, tls)
            thread = threading.Thread(target=server.run, args=([listener],), name="atalaia-http", daemon=True)
            thread.start()
            started.callback(self._stop, server, thread)
            _wait_for(server, thread)
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    def token(self) -> str | None:
        """Return a token of an admin for a day, for the program that this is embedded in; None if none is asked."""
        if self._settings.auth.mode == "off":
            return None
        return self.atalaia.entrance.access.key.sign("service:embedded", Role.ADMIN, 86_400)[0]

    def _stop(self, server: uvicorn.Server, thread: threading.Thread) -> None:
        server.should_exit = True
        thread.join(self._settings.shutdown_s + 5)


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise Unavailable("not_ready", "the server did not start; its log says why")
        time.sleep(0.01)


def listen(host: str, port: int, *, shared: bool = False, is_open: bool = False) -> socket.socket:
    """Return a socket that listens; a `shared` port other processes may listen on too.

    Addresses that others can reach are for an `is_open` service: one whose callers must say who they are.

    Raises
    ------
    Denied
        When others can reach the address, and authentication is off.
    Conflict
        When somebody else listens there.
    """
    if not is_open and not _is_loopback(host):
        detail = f"{host} can be reached from outside, and authentication is off; turn it on, or use 127.0.0.1"
        raise Denied("not_loopback", detail)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=shared)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise Conflict(
            "port_in_use", f"cannot listen on {host} port {port} ({why}); choose another with --port"
        ) from error


def _listen(settings: Settings) -> socket.socket:
    is_open = settings.auth.mode == "on"
    return listen(settings.host, settings.port, shared=settings.share_port, is_open=is_open)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(uvicorn.Server):
    """Says that it is not ready as soon as it is told to stop, and answers what has begun."""

    def __init__(self, config: uvicorn.Config, atalaia: Atalaia) -> None:
        super().__init__(config)
        self._atalaia = atalaia

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and wait for those that there are."""
        self._atalaia.is_ready = False
        await super().shutdown(sockets)


def _server(atalaia: Atalaia, tls: TlsFiles | None = None) -> uvicorn.Server:
    headers = [("x-content-type-options", "nosniff")]
    if tls is not None:
        headers.append(("strict-transport-security", "max-age=31536000"))
    config = uvicorn.Config(
        with_front(make_app(atalaia), atalaia),
        log_config=None,
        access_log=False,
        lifespan="off",
        http=HotProtocol,
        timeout_graceful_shutdown=int(atalaia.settings.shutdown_s),
        server_header=False,
        proxy_headers=False,  # the gate looks at them itself, and knows whom to believe
        headers=headers,
    )
    if tls is not None:
        config.load()
        config.ssl = tls.context  # instead of one that uvicorn would make of files, once
    return _Server(config, atalaia)
