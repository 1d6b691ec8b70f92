"""A proxy before any part that speaks TCP, which does to its connections what networks and tired servers do."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

_BUFFER = 1 << 16
_POLL_S = 0.1
Send = Callable[[bytes], object]


class Proxy:
    """Listens on a free port of loopback and passes bytes on to another; what it does can be changed at any time.

    Parameters
    ----------
    port
        Where the part listens.

    Attributes
    ----------
    delay_s
        How long bytes take on their way back.
    bytes_s
        How many bytes a second come back on one connection; None for all that there are.
    accepts
        How many connections were taken so far.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.delay_s = 0.0
        self.bytes_s: float | None = None
        self.accepts = 0
        self._answer: bytes | None = None
        self._is_silent = False
        self._lock = threading.Lock()
        self._pairs: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self.close()
        for thread in self._threads:
            thread.join(5)

    @property
    def endpoint(self) -> str:
        """Where it listens, for parts that speak HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen, on the port that it had before if any."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._listener.settimeout(_POLL_S)
        self.port = self._listener.getsockname()[1]
        self._run(self._accept, self._listener)

    def close(self) -> None:
        """Refuse connections, and cut those that there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self.cut()

    def cut(self, *, reset: bool = False) -> None:
        """End all connections, with a reset if asked."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for one in pairs:
            with suppress(OSError):
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                else:
                    one.shutdown(socket.SHUT_RDWR)
            one.close()

    def answer(self, status: int | None) -> None:
        """Answer every HTTP request with this status and pass nothing on; None passes on again."""
        body = b"<Error><Code>InternalError</Code><Message>the proxy says so</Message></Error>"
        head = f"HTTP/1.1 {status} No\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        self._answer = None if status is None else head.encode() + b"Connection: close\r\n\r\n" + body
        self.cut()

    def silence(self) -> None:
        """Take connections and bytes, and let nothing come back: a network that swallows."""
        self._is_silent = True

    def heal(self) -> None:
        """Pass everything on again, at once."""
        self.delay_s, self.bytes_s, self._answer, self._is_silent = 0.0, None, None, False
        self.cut()
        if self._listener is None:
            self.open()

    def _run(self, act: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=act, args=given, name="atalaia-proxy", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set() and self._listener is listener:
            try:
                client = listener.accept()[0]
            except TimeoutError:
                continue
            except OSError:
                return
            self.accepts += 1
            client.settimeout(None)
            if self._answer is not None:
                self._run(self._refuse, client, self._answer)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._pairs |= {client, server}
            self._run(self._pump, client, server, server.sendall)
            self._run(self._pump, server, client, lambda data, client=client: self._back(client, data))

    def _refuse(self, client: socket.socket, answer: bytes) -> None:
        client.settimeout(5)
        with suppress(OSError), client:
            seen = client.recv(_BUFFER)
            if b"100-continue" not in seen.lower():
                client.settimeout(_POLL_S)
                with suppress(TimeoutError):
                    while client.recv(_BUFFER):
                        pass
            client.settimeout(5)
            client.sendall(answer)

    def _pump(self, source: socket.socket, target: socket.socket, send: Send) -> None:
        with suppress(OSError):
            while data := source.recv(_BUFFER):
                send(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            with self._lock:
                self._pairs.discard(one)

    def _back(self, client: socket.socket, data: bytes) -> None:
        self._stopping.wait(self.delay_s)
        while self._is_silent and not self._stopping.is_set() and client.fileno() >= 0:
            time.sleep(_POLL_S)
        while self.bytes_s and data and not self._stopping.is_set():
            part = max(1, int(self.bytes_s * _POLL_S))
            client.sendall(data[:part])
            data = data[part:]
            time.sleep(_POLL_S)
        client.sendall(data)
