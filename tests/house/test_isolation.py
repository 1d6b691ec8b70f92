"""Tests depend on nothing outside: no network, no settings of whoever runs them, no chance in properties."""

import asyncio
import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_socket import SocketBlockedError, SocketConnectBlockedError

ELSEWHERE = ("192.0.2.1", 9)  # reserved for documentation, RFC 5737


def test_a_unit_test_cannot_open_a_socket() -> None:
    with pytest.warns(UserWarning, match="socket"), pytest.raises(SocketBlockedError):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def test_a_unit_test_can_run_an_event_loop() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert asyncio.run(answer()) == 42


@pytest.mark.slow
def test_a_slow_test_reaches_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


@pytest.mark.slow
def test_a_slow_test_reaches_no_other_machine() -> None:
    with pytest.warns(UserWarning, match="connect"), pytest.raises(SocketConnectBlockedError):
        socket.create_connection(ELSEWHERE, timeout=5)


def test_no_setting_is_inherited() -> None:
    assert [name for name in os.environ if name.startswith("ATALAIA_")] == []


def test_properties_have_no_deadline_and_are_repeatable_where_it_counts() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert settings.get_profile("ci").derandomize


@given(st.integers())
def test_properties_can_be_tested_beside_the_guards(number: int) -> None:
    assert number + 1 > number
