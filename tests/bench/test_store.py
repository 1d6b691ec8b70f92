"""The benchmark of history, small: so that it runs when it is needed. Peers are not installed for tests."""

import pytest

from bench import store
from bench.store import commits

pytestmark = pytest.mark.slow


def test_commits_of_a_small_fleet_are_measured() -> None:
    figures = {figure.name: figure for figure in commits(fleet=5_000, count=8)}
    assert figures.keys() == {
        "history_commit_growth_cpu",
        "history_commit_growth_wall",
        "history_read_one_of_285000",
    }


def test_without_postgresql_nothing_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: object, *__: object) -> None:
        return None

    monkeypatch.setattr("shutil.which", nowhere)
    monkeypatch.setattr("pathlib.Path.glob", lambda *_: iter(()))
    with pytest.raises(RuntimeError, match="PostgreSQL is missing"):
        store.store(series=1, minutes=1)
