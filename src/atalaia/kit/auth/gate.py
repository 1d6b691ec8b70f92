"""The gate before every door: who is calling, may they, and not too often."""

import ipaddress
from collections.abc import Callable, Iterable, Sequence

from starlette.concurrency import run_in_threadpool

from atalaia.core.clock import now_us
from atalaia.core.errors import Denied, Invalid
from atalaia.kit.auth.access import Access, unauthenticated
from atalaia.kit.auth.permissions import PUBLIC, Needed, limit_of
from atalaia.kit.auth.principals import ANYBODY, Principal
from atalaia.kit.limits import RateLimits, Taken
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.web.doors import Call

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Sequence[tuple[bytes, bytes]]
FORWARDED = b"x-forwarded-for"
_V6_BITS = 64
"""Whoever has one address of IPv6 has a whole network of this size."""


class Gate:
    """Lets callers pass, or says why not.

    Parameters
    ----------
    access
        Who may come in; None lets anybody do anything.
    limits
        How often; None sets none.
    trusted_proxies
        Addresses or networks whose X-Forwarded-For is believed.
    refused
        Told who was refused for want of which permission; it may not wait for anything.
    """

    def __init__(
        self,
        access: Access | None,
        limits: RateLimits | None,
        telemetry: Telemetry,
        trusted_proxies: Iterable[str] = (),
        refused: Callable[[str, str], object] = lambda subject, permission: None,
    ) -> None:
        self._tell_refused = refused
        self._access = access
        self._limits = limits
        self._telemetry = telemetry
        self._proxies = [ipaddress.ip_network(text, strict=False) for text in trusted_proxies]

    def admit_now(self, call: Call, permission: str) -> bool:
        """Let a call to a hot door pass; False when its token has to be verified first, see `admit_call`.

        Raises
        ------
        Denied
            When the caller is unknown, or may not.
        Busy
            ``too_many_requests``.
        """
        access = self._access
        if access is not None:
            principal = access.known.get(call.authorization)
            if principal is None or principal.until_us <= now_us():
                if call.authorization:
                    return False
                raise self._refused(unauthenticated())
            if permission not in principal.permissions:
                self._tell_refused(principal.subject, permission)
                raise self._refused(forbidden(principal, permission))
            call.caller = principal.subject
        if self._limits is not None:
            self._limits.take_now(limit_of(permission), call.caller or self._address_of(call.peer, call.headers))
        return True

    async def admit_call(self, call: Call, permission: str) -> None:
        """Let a call to a hot door pass, and find out who it is if need be; it raises as `admit_now` does."""
        if not self.admit_now(call, permission):
            assert self._access is not None
            await run_in_threadpool(self._access.verify, call.authorization)
            if not self.admit_now(call, permission):  # kept out this very moment
                raise Denied("invalid_token", "the token counts no longer")

    def give_back(self, call: Call, permission: str) -> None:
        """Do not count a call that `admit_now` let pass: it comes again through `admit_call`."""
        if self._limits is not None:
            caller = call.caller or self._address_of(call.peer, call.headers)
            self._limits.hot.give_back(limit_of(permission), caller)

    async def admit(
        self, needed: Needed, authorization: bytes, peer: str, headers: Headers
    ) -> tuple[Principal, Taken]:
        """Return who calls any other door, and what its limits are; it raises as `admit_now` does."""
        principal, taken = ANYBODY, Taken()
        if self._access is not None and needed.permission != PUBLIC:
            principal = await self.known(authorization)
            if needed.permission not in principal.permissions:
                self._tell_refused(principal.subject, needed.permission)
                raise self._refused(forbidden(principal, needed.permission))
        if self._limits is not None and (needed.permission != PUBLIC or needed.limit == "login"):
            caller = principal.subject or self._address_of(peer, headers)
            taken = await self._limits.take(needed.limit, caller)
        return principal, taken

    async def known(self, authorization: bytes) -> Principal:
        """Return who an Authorization header names."""
        if self._access is None:
            return ANYBODY
        principal = self._access.known.get(authorization)
        if principal is None or principal.until_us <= now_us():
            if not authorization:
                raise self._refused(unauthenticated())
            principal = await run_in_threadpool(self._access.verify, authorization)
        return principal

    @property
    def asks(self) -> bool:
        """Whether callers must say who they are."""
        return self._access is not None

    def _refused(self, error: Denied) -> Denied:
        self._telemetry.count("auth_refused_total", error.code)
        return error

    def address_of(self, peer: str, headers: Headers) -> str:
        """Return where a call comes from: the last address in X-Forwarded-For that is no proxy of ours."""
        if not self._proxies or not self._is_proxy(peer):
            return peer
        sent = b",".join(value for name, value in headers if name == FORWARDED).decode("latin-1")
        found = peer
        for hop in reversed([part.strip() for part in sent.split(",") if part.strip()]):
            try:
                found = str(ipaddress.ip_address(hop))
            except ValueError:
                break
            if not self._is_proxy(found):
                break
        return found

    def _address_of(self, peer: str, headers: Headers) -> str:
        """Return whose limits an address takes from."""
        address = self.address_of(peer, headers)
        if ":" not in address:
            return address
        try:
            return str(ipaddress.ip_network((address.partition("%")[0], _V6_BITS), strict=False))
        except ValueError:
            return address

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def check_networks(networks: Iterable[str]) -> None:
    """Refuse what is neither an address nor a network.

    Raises
    ------
    Invalid
        ``invalid_settings``.
    """
    for text in networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise Invalid("invalid_settings", f"trusted_proxies: {error}") from error


def forbidden(principal: Principal, permission: str) -> Denied:
    """Return the refusal of a caller who is known, and may not."""
    return Denied("forbidden", f"the role {principal.role} does not have the permission {permission}")
