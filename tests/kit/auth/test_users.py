"""Users come in by password, slowly when they guess; whatever is done about access is told."""

from typing import Any

import pytest

from atalaia.core.clock import MICROS
from atalaia.core.errors import AtalaiaError, Busy, Conflict, Denied, Invalid, Missing
from atalaia.kit.auth import passwords
from atalaia.kit.auth.passwords import check_password, hashed, is_password
from atalaia.kit.auth.permissions import Role
from atalaia.kit.auth.principals import ANYBODY
from atalaia.kit.auth.throttle import Throttle
from atalaia.kit.auth.users import Users
from atalaia.kit.database import Database
from tests.kit.auth.conftest import PASSWORD, Audit


@pytest.fixture
def ada(users: Users, database: Database) -> Users:
    """Return users, of whom there is ada, an admin."""
    with database.write() as session:
        users.add(session, "ada", PASSWORD, Role.ADMIN, "setup")
    return users


def failure(users: Users, name: str, password: str) -> AtalaiaError:
    with pytest.raises(AtalaiaError) as refused:
        users.login(name, password, "10.0.0.1")
    return refused.value


def test_a_user_logs_in(ada: Users, audit: Audit) -> None:
    issued = ada.login("ada", PASSWORD, "10.0.0.1")
    assert (issued.subject, issued.role) == ("ada", Role.ADMIN)
    assert audit.actions == ["user_added", "login"]


def test_it_is_not_said_whether_there_is_such_a_user(ada: Users, audit: Audit, telemetry: Any) -> None:
    wrong, nobody = failure(ada, "ada", "x"), failure(ada, "bob", PASSWORD)
    assert (wrong.code, wrong.detail) == (nobody.code, nobody.detail)
    assert wrong.code == "login_failed"
    assert audit.actions[-2:] == ["login_failed", "login_failed"]
    assert b"login_failures_total 2.0" in telemetry.render()


def test_as_much_is_computed_for_a_user_that_there_is_not(ada: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Hasher:
        def hash(self, password: str) -> str:
            return "$nobody"

        def verify(self, kept: str, password: str) -> bool:
            seen.append(password)
            return True

    passwords._nobodys.cache_clear()
    monkeypatch.setattr(passwords, "_hasher", Hasher())
    assert failure(ada, "bob", "guess").code == "login_failed"
    assert seen == ["guess"]
    passwords._nobodys.cache_clear()


def test_a_disabled_user_is_refused_like_any_other(ada: Users, database: Database) -> None:
    with database.write() as session:
        ada.add(session, "bob", PASSWORD, Role.VIEWER, "ada")
        ada.change(session, "bob", "ada", is_disabled=True)
    assert failure(ada, "bob", PASSWORD).code == "login_failed"


def test_failures_make_the_next_login_wait(ada: Users) -> None:
    for _ in range(3):
        assert failure(ada, "ada", "guess").code == "login_failed"
    refused = failure(ada, "ada", PASSWORD)
    assert isinstance(refused, Busy)
    assert refused.code == "too_many_logins"
    assert 0 < (refused.retry_after_s or 0) <= 1
    assert ada.login("ada", PASSWORD, "10.0.0.2").subject == "ada"  # who sits elsewhere is not kept out


def test_pauses_grow_and_end() -> None:
    now = [0]
    throttle = Throttle(lambda: now[0])
    pauses: list[float] = []
    for _ in range(14):
        try:
            throttle.check("ada", "a")
        except Busy as busy:
            pauses.append(busy.retry_after_s or 0)
            now[0] += int(pauses[-1] * MICROS)
        throttle.failed("ada", "a")
    assert pauses == sorted(pauses)
    assert pauses[0] == 1
    assert pauses[-1] == 300
    now[0] += 2 * 3600 * MICROS
    throttle.check("ada", "a")
    throttle.failed("ada", "a")
    throttle.check("ada", "a")


def test_many_addresses_that_guess_one_user_wait_a_little_together() -> None:
    throttle = Throttle(lambda: 0)
    for turn in range(30):
        throttle.failed("ada", f"a{turn}")
    with pytest.raises(Busy) as busy:
        throttle.check("ada", "new")
    assert busy.value.retry_after_s == 5  # no more: it must not keep ada out
    throttle.check("bob", "new")


def test_one_address_that_guesses_many_users_waits() -> None:
    throttle = Throttle(lambda: 0)
    for turn in range(25):
        throttle.failed(f"u{turn}", "a")
    with pytest.raises(Busy):
        throttle.check("somebody", "a")
    throttle.check("somebody", "b")


def test_what_the_throttle_remembers_is_bounded() -> None:
    throttle = Throttle(lambda: 0)
    for turn in range(5_000):
        throttle.failed(f"u{turn}", f"a{turn}")
    assert len(throttle._failed) <= 10_000


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "password1234",
        "Passw0rd12345",
        "qwertyuiop12",
        "aaaaaaaaaaaaaaaa",
        "abababababababab",
        "margaret12345",
        "MargaretMargaret1",
        "x" * 5000,
    ],
)
def test_a_password_that_others_would_guess_is_refused(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_password(password, "margaret", 12)
    assert refused.value.code == "weak_password"


@pytest.mark.parametrize("password", [PASSWORD, "correct horse battery", "pässwörter sind lang", "uV3#kk8!mQz0"])
def test_a_password_that_nobody_guesses_is_taken(password: str) -> None:
    check_password(password, "margaret", 12)
    assert is_password(password, hashed(password))
    assert not is_password(password + " ", hashed(password))


@pytest.mark.parametrize("kept", ["", "plain", "$argon2id$v=19$m=1$x"])
def test_a_damaged_hash_is_nobodys_password(kept: str) -> None:
    assert not is_password("plain", kept)


@pytest.mark.parametrize("name", ["", "a b", "service:x", "oidc:x", "../x", "-x", "x" * 129, "ä", "a\n"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(
    users: Users, database: Database, name: str
) -> None:
    with pytest.raises(Invalid) as refused, database.write() as session:
        users.add(session, name, PASSWORD, Role.VIEWER, "")
    assert refused.value.code == "invalid_name"


def test_a_name_is_given_once(ada: Users, database: Database) -> None:
    with pytest.raises(Conflict) as refused, database.write() as session:
        ada.add(session, "ada", PASSWORD, Role.VIEWER, "")
    assert refused.value.code == "user_exists"


@pytest.mark.parametrize("change", [{"role": Role.VIEWER}, {"is_disabled": True}])
def test_the_last_admin_stays(ada: Users, database: Database, change: dict[str, Any]) -> None:
    for act in (lambda s: ada.change(s, "ada", "ada", **change), lambda s: ada.remove(s, "ada", "ada")):
        with pytest.raises(Conflict) as refused, database.write() as session:
            act(session)
        assert refused.value.code == "last_admin"
    with database.write() as session:
        ada.add(session, "bob", PASSWORD, Role.ADMIN, "ada")
        ada.change(session, "ada", "bob", **change)


def test_an_unknown_user_cannot_be_changed(ada: Users, database: Database) -> None:
    with pytest.raises(Missing), database.write() as session:
        ada.change(session, "bob", "ada", role=Role.VIEWER)


def test_what_was_not_committed_is_not_told(ada: Users, database: Database, audit: Audit) -> None:
    def half() -> None:
        with database.write() as session:
            ada.add(session, "bob", PASSWORD, Role.VIEWER, "ada")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert audit.actions == ["user_added"]


def test_tokens_of_programs_are_listed_and_revoked(ada: Users, database: Database, audit: Audit) -> None:
    with database.write() as session:
        made = [ada.make_token(session, f"p{turn}", Role.AGENT, 30, ANYBODY) for turn in range(3)]
        ada.revoke(session, made[0].token_id, "ada")
    with database.read() as session:
        rows = ada.tokens(session, "", 10)
    assert {row.name: revoked is not None for row, revoked in rows} == {"p2": False, "p1": False, "p0": True}
    assert audit.actions[-4:] == ["token_issued"] * 3 + ["token_revoked"]
    assert not any(made[0].token in str(noted) for noted in audit.noted)


@pytest.mark.parametrize("days", [0.0, -1.0, 367.0])
def test_a_token_has_an_end_in_sight(ada: Users, database: Database, days: float) -> None:
    with pytest.raises(Invalid) as refused, database.write() as session:
        ada.make_token(session, "p", Role.AGENT, days, ANYBODY)
    assert refused.value.code == "token_too_long"


def test_a_long_password_does_not_take_long(ada: Users) -> None:
    assert failure(ada, "ada", "x" * 1_000_000).code == "login_failed"
    assert failure(ada, "a" * 1_000_000, "x").code == "login_failed"


def test_denied_is_what_a_failed_login_is(ada: Users) -> None:
    assert isinstance(failure(ada, "ada", "x"), Denied)
