"""The gate lets pass who may, and knows where a call comes from."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from atalaia.core.errors import AtalaiaError, Busy, Denied, Invalid
from atalaia.kit.auth.access import Access
from atalaia.kit.auth.gate import Gate, check_networks
from atalaia.kit.auth.permissions import PERMISSIONS, PUBLIC, Needed, Role, limit_of
from atalaia.kit.limits import LimitSettings, RateLimits
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.web.doors import Call
from tests.kit.auth.tokens import bearer


def call_of(token: bytes = b"", peer: str = "10.0.0.1", **headers: str) -> Call:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Call("", "/x", b"", sent, b"", "req", token, peer)


def token_of(access: Access, role: Role, name: str = "x") -> bytes:
    return bearer(access.key.sign(f"service:{name}", role, 60)[0])


@pytest.mark.parametrize("role", list(Role))
def test_every_role_passes_exactly_where_the_table_says(access: Access, telemetry: Telemetry, role: Role) -> None:
    gate = Gate(access, None, telemetry)
    token = token_of(access, role)
    for permission, roles in PERMISSIONS.items():
        for admit in (hot, other):
            assert outcome(admit, gate, token, permission) == ("service:x" if role in roles else "forbidden")


def outcome(admit: Callable[..., str], gate: Gate, token: bytes, permission: str) -> str:
    try:
        return admit(gate, token, permission)
    except Denied as refused:
        return refused.code


def hot(gate: Gate, token: bytes, permission: str) -> str:
    call = call_of(token)
    asyncio.run(gate.admit_call(call, permission))
    return call.caller


def other(gate: Gate, token: bytes, permission: str) -> str:
    needed = Needed(permission, limit_of(permission))
    return asyncio.run(gate.admit(needed, token, "10.0.0.1", ()))[0].subject


def test_a_token_is_verified_once_and_then_known_at_once(access: Access, telemetry: Telemetry) -> None:
    gate, token = Gate(access, None, telemetry), token_of(access, Role.PREDICTOR)
    assert gate.admit_now(call_of(token), "predict") is False
    assert hot(gate, token, "predict") == "service:x"
    call = call_of(token)
    assert gate.admit_now(call, "predict") is True
    assert call.caller == "service:x"


def test_a_known_token_that_has_ended_is_verified_anew(
    access: Access, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, token = Gate(access, None, telemetry), token_of(access, Role.PREDICTOR)
    hot(gate, token, "predict")
    monkeypatch.setattr("atalaia.kit.auth.gate.now_us", lambda: 1 << 60)
    assert gate.admit_now(call_of(token), "predict") is False


@pytest.mark.parametrize("admit", [hot, other])
def test_nobody_is_told_to_say_who_they_are(
    access: Access, telemetry: Telemetry, admit: Callable[..., str]
) -> None:
    with pytest.raises(Denied) as refused:
        admit(Gate(access, None, telemetry), b"", "predict")
    assert refused.value.code == "unauthenticated"
    assert b'auth_refused_total{code="unauthenticated"} 1.0' in telemetry.render()


def test_public_doors_ask_nobody(access: Access, telemetry: Telemetry) -> None:
    assert other(Gate(access, None, telemetry), b"Bearer rubbish", PUBLIC) == ""


@pytest.mark.parametrize("admit", [hot, other])
def test_while_authentication_is_off_anybody_passes(telemetry: Telemetry, admit: Callable[..., str]) -> None:
    for permission in PERMISSIONS:
        assert admit(Gate(None, None, telemetry), b"Bearer rubbish", permission) == ""


def limited(access: Access | None, telemetry: Telemetry, *proxies: str, **limits: str) -> Gate:
    return Gate(access, RateLimits(LimitSettings.model_validate(limits), telemetry), telemetry, proxies)


@pytest.mark.parametrize(("admit", "kind"), [(hot, "predict"), (other, "predict"), (other, "models.read")])
def test_each_caller_has_limits_of_its_own(
    access: Access, telemetry: Telemetry, admit: Callable[..., str], kind: str
) -> None:
    gate = limited(access, telemetry, predict="2/hour", control="2/hour")
    ada, bob = token_of(access, Role.ADMIN, "ada"), token_of(access, Role.ADMIN, "bob")
    for _ in range(2):
        admit(gate, ada, kind)
    with pytest.raises(Busy) as refused:
        admit(gate, ada, kind)
    assert refused.value.code == "too_many_requests"
    assert 0 < (refused.value.retry_after_s or 0) <= 3600
    admit(gate, bob, kind)


def test_a_call_that_is_given_back_does_not_count(access: Access, telemetry: Telemetry) -> None:
    gate, token = limited(access, telemetry, predict="2/hour"), token_of(access, Role.ADMIN)
    asyncio.run(gate.admit_call(call_of(token), "predict"))
    for _ in range(5):
        call = call_of(token)
        assert gate.admit_now(call, "predict")
        gate.give_back(call, "predict")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("8.8.8.8", "", "8.8.8.8"),
        ("8.8.8.8", "1.1.1.1", "8.8.8.8"),  # whoever it is, it is no proxy of ours
        ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),  # what the caller wrote itself does not count
        ("10.0.0.1", "1.1.1.1, 10.0.0.9", "1.1.1.1"),
        ("10.0.0.1", "rubbish", "10.0.0.1"),
        ("10.0.0.1", "rubbish, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "1.1.1.1", ""),
    ],
)
def test_only_proxies_of_ours_are_believed(telemetry: Telemetry, peer: str, forwarded: str, address: str) -> None:
    gate = Gate(None, None, telemetry, ["10.0.0.0/24"])
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    assert gate.address_of(peer, headers) == address


def test_one_network_of_the_sixth_version_is_one_caller(telemetry: Telemetry) -> None:
    gate = limited(None, telemetry, predict="2/hour")
    for host in ("2001:db8::1", "2001:db8::2"):
        assert gate.admit_now(call_of(peer=host), "predict")
    with pytest.raises(Busy):
        gate.admit_now(call_of(peer="2001:db8::3"), "predict")
    assert gate.admit_now(call_of(peer="2001:db8:1::3"), "predict")


@pytest.mark.parametrize("network", ["10.0.0.0/99", "proxy", ""])
def test_what_is_no_network_is_refused_at_the_start(network: str) -> None:
    with pytest.raises(Invalid, match="trusted_proxies"):
        check_networks([network])


def test_a_token_revoked_while_it_is_verified_does_not_pass(
    access: Access, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = access.verify

    def kept_out(header: bytes) -> Any:
        principal = verify(header)
        access.known = {}
        return principal

    monkeypatch.setattr(access, "verify", kept_out)
    with pytest.raises(AtalaiaError) as refused:
        hot(Gate(access, None, telemetry), token_of(access, Role.ADMIN), "predict")
    assert refused.value.code == "invalid_token"
