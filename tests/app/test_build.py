"""All of Atalaia is put together in one place, opened by role, and closed without a trace."""

import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from atalaia.app.build import build
from atalaia.app.settings import ROLES, load_settings
from atalaia.core.errors import Invalid, Unavailable
from atalaia.kit.facts import OutboxRow
from tests.app.conftest import BuildOne
from tests.kit.fakes import opened, wait_until

ALWAYS = {"atalaia-facts", "atalaia-events", "atalaia-audit", "atalaia-audit-export"}
JOURNAL = {"atalaia-journal", "atalaia-journal-sync"}
MODELS = {"atalaia-refresh", "atalaia-activity"}
THREADS: dict[tuple[str, ...], set[str]] = {
    ("api",): ALWAYS,
    ("predictor",): ALWAYS | MODELS | JOURNAL | {"atalaia-learner"},
    ("worker",): ALWAYS | MODELS | {"atalaia-scoring", "atalaia-worker"},
    ("scheduler",): ALWAYS | {"atalaia-scheduler"},
    ROLES: ALWAYS | MODELS | JOURNAL | {"atalaia-scoring", "atalaia-worker", "atalaia-scheduler"},
}


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("atalaia-")}


@pytest.mark.parametrize("roles", THREADS, ids=" ".join)
def test_a_role_starts_what_it_needs_and_closing_leaves_nothing(
    build_one: BuildOne, roles: tuple[str, ...]
) -> None:
    atalaia = build_one()
    assert not atalaia.is_ready
    atalaia.start(roles)
    assert threads() == THREADS[roles]
    assert (atalaia.is_ready, atalaia.roles) == (True, frozenset(roles))
    atalaia.close()
    assert threads() == set()
    assert not atalaia.is_ready


def test_closing_twice_is_harmless(build_one: BuildOne) -> None:
    atalaia = build_one()
    atalaia.start()
    atalaia.close()
    atalaia.close()


def test_what_never_started_can_be_closed(build_one: BuildOne) -> None:
    build_one().close()


def test_an_unknown_role_is_refused_and_nothing_starts(build_one: BuildOne) -> None:
    atalaia = build_one()
    with pytest.raises(Invalid, match="no role cook, waiter; choose from api, predictor") as refused:
        atalaia.start(("api", "waiter", "cook"))
    assert refused.value.code == "invalid_settings"
    assert (threads(), atalaia.is_ready) == (set(), False)


def test_a_role_that_cannot_warm_its_models_is_not_ready_and_can_be_closed(build_one: BuildOne) -> None:
    atalaia = build_one()
    atalaia.database.close()
    (atalaia.settings.data_dir / "atalaia.db").write_bytes(b"rubbish" * 1_000)
    for rest in ("-wal", "-shm"):
        (atalaia.settings.data_dir / f"atalaia.db{rest}").unlink(missing_ok=True)
    with pytest.raises(Unavailable):
        atalaia.start()
    assert not atalaia.is_ready
    atalaia.close()
    assert threads() == set()


def test_the_scheduler_queues_what_is_due(build_one: BuildOne) -> None:
    atalaia = build_one()
    atalaia.start(("scheduler",))
    wait_until(lambda: atalaia.queue.depth(["apply_retention"]))


def test_facts_are_delivered_in_any_role(build_one: BuildOne) -> None:
    atalaia = build_one()
    with atalaia.database.write() as session:  # as another process does, which does not deliver here
        fact = opened()
        session.add(OutboxRow(name=fact.name, payload=vars_of(fact), created_at=1, delivered_at=None))
    atalaia.start(("api",))

    def is_delivered() -> bool:
        with atalaia.database.read() as session:
            return session.query(OutboxRow).one().delivered_at is not None

    wait_until(is_delivered)


def vars_of(fact: object) -> dict[str, object]:
    return {name: getattr(fact, name) for name in ("anomaly_id", "series_id", "score")}


def test_the_number_of_loaded_models_is_logged(build_one: BuildOne) -> None:
    with capture_logs() as lines:
        build_one().start(("predictor",))
    assert {"event": "models_loaded", "count": 0, "log_level": "info"} in lines


def test_two_services_can_stand_beside_each_other(build_one: BuildOne) -> None:
    first, second = build_one("a"), build_one("b")
    first.start(("api",))
    second.start(("api",))
    first.close()
    assert second.is_ready
    assert threads() == ALWAYS


def test_a_folder_is_made_with_its_parents(tmp_path: Path, build_one: BuildOne) -> None:
    build_one("a/b c/ç")
    assert (tmp_path / "a" / "b c" / "ç" / "atalaia.db").exists()


@pytest.mark.parametrize("below", ["file", "file/data"])
def test_a_folder_that_cannot_be_is_unavailable(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match="cannot be used") as refused:
        build(load_settings({"data_dir": tmp_path / below}))
    assert refused.value.code == "database_unavailable"
    assert str(tmp_path / below) in refused.value.detail


def test_a_database_that_is_none_is_unavailable_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "atalaia.db").write_bytes(b"my diary " * 1_000)
    with pytest.raises(Unavailable) as refused:
        build(load_settings({"data_dir": tmp_path}))
    assert refused.value.code == "database_unavailable"
    assert (tmp_path / "atalaia.db").read_bytes() == b"my diary " * 1_000


def test_what_is_built_twice_on_one_folder_sees_the_same(build_one: BuildOne) -> None:
    first, second = build_one(), build_one()
    with first.database.write() as session:
        session.add(OutboxRow(name="x", payload={}, created_at=1, delivered_at=2))
    with second.database.read() as session:
        assert session.query(OutboxRow).count() == 1


def test_building_opens_no_registry(build_one: BuildOne) -> None:
    assert not (build_one().settings.data_dir / "mlflow").exists()
