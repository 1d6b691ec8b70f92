"""One HTTP connection to the service: errors become ours, and what may be repeated is."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from atalaia.connectors.atalaia.problems import bad_answer, error_of
from atalaia.core.errors import AtalaiaError, Fault, Invalid, Unavailable
from atalaia.core.ids import new_id

T = TypeVar("T")
Params = Sequence[tuple[str, str]]

API = "/api/v1"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SAFE = frozenset({"GET", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call is repeated, and how long that may take.

    Attributes
    ----------
    attempts
        Calls in all, the first included.
    first_pause_s
        Before the second call; it doubles from then on.
    longest_pause_s
        No pause is longer, and a service that asks for a longer one (Retry-After) is not asked again.
    """

    attempts: int = 4
    first_pause_s: float = 0.1
    longest_pause_s: float = 10.0

    def pause_s(self, attempt: int, error: AtalaiaError) -> float | None:
        """Return how long to wait after call number `attempt` (from 1) failed, None to give up."""
        if attempt >= self.attempts or not error.retries:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.longest_pause_s else None
        return min(self.first_pause_s * 2 ** (attempt - 1), self.longest_pause_s)


class Connection:
    """Sends requests and reads answers. Safe to share between threads.

    Parameters
    ----------
    base_url
        Where the service listens, e.g. ``http://127.0.0.1:8460``.
    on_answer
        Called with the body of every successful answer, as it came.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        token: str | None,
        transport: httpx.BaseTransport | None,
        retry: Retry,
        on_answer: Callable[[bytes], None] | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = _checked(base_url)
        self._retry, self._sleep, self._on_answer = retry, sleep, on_answer
        self._http = httpx.Client(
            timeout=timeout_s,
            transport=transport,
            headers={"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
            # a proxy from the environment cannot reach our own machine
            trust_env=urlsplit(self.base_url).hostname not in _LOOPBACK,
        )

    def close(self) -> None:
        """Close the sockets."""
        self._http.close()

    def get(self, path: str, answer: type[T], params: Params = (), *, prefix: str = API) -> T:
        """Read `path`."""
        return self._decode(self._send("GET", prefix + path, params=params), answer)

    def send(self, method: str, path: str, answer: type[T], body: Any = None) -> T:
        """Change something in a way that may be repeated if `method` may, and else only once."""
        return self._decode(self._send(method, API + path, body=body), answer)

    def remove(self, path: str) -> None:
        """Remove what stands at `path`."""
        self._send("DELETE", API + path)

    def create(self, path: str, answer: type[T], body: Any, key: str | None = None) -> T:
        """POST under an Idempotency-Key (a new one by default), so that a repetition creates nothing twice."""
        return self._decode(self._send("POST", API + path, body=body, key=key or new_id("key")), answer)

    def ask(self, path: str, answer: type[T], body: Any) -> T:
        """POST a question, which changes nothing and may be repeated."""
        return self._decode(self._send("POST", API + path, body=body, safe=True), answer)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Params = (),
        body: Any = None,
        key: str | None = None,
        safe: bool = False,
    ) -> bytes:
        """Send until it is answered, or may not or need not be sent again."""
        request = self._request(method, path, params, body, key)
        repeatable = safe or method in _SAFE or key is not None
        attempt = 1
        while True:
            try:
                return self._once(request)
            except AtalaiaError as error:
                pause_s = self._retry.pause_s(attempt, error) if repeatable else None
                if pause_s is None:
                    raise
            self._sleep(pause_s)
            attempt += 1

    def _request(self, method: str, path: str, params: Params, body: Any, key: str | None) -> httpx.Request:
        headers = {"Idempotency-Key": key} if key else {}
        content = None
        try:
            if body is not None:
                headers["Content-Type"] = "application/json"
                content = msgspec.json.encode(body)
            return self._http.build_request(
                method, self.base_url + path, params=list(params) or None, content=content, headers=headers
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise Invalid("unsendable", f"this cannot be sent: {error}") from error

    def _once(self, request: httpx.Request) -> bytes:
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        except httpx.DecodingError as error:
            raise bad_answer(f"the answer cannot be unpacked ({error})") from error
        if not response.is_success:
            raise error_of(response.status_code, response.content, response.headers.get("Retry-After"))
        return response.content

    def _decode(self, body: bytes, answer: type[T]) -> T:
        try:
            decoded = msgspec.json.decode(body, type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise bad_answer(f"the answer cannot be read ({error})") from error
        if self._on_answer is not None:
            self._on_answer(body)
        return decoded

    def _unreachable(self, error: httpx.TransportError) -> Unavailable:
        if isinstance(error, httpx.TimeoutException):
            reason = f"did not answer within {self._http.timeout.read:g} s"
        else:
            reason = f"cannot be reached ({error})"
        return Unavailable(
            "unreachable",
            f"Atalaia at {self.base_url} {reason}. Start it with `atalaia up`, or point to another with "
            "--url or ATALAIA_URL.",
        )


def _checked(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise Invalid(
            "invalid_url",
            f"{base_url!r} is not the address of a service; write it like http://127.0.0.1:8460",
            faults=[Fault("/url", "expected http://host:port")],
        )
    return base_url.rstrip("/")
