"""What serves is remembered for a start without the database, and asked for whenever it can be."""

from dataclasses import replace
from pathlib import Path

import pytest

from atalaia.core.errors import Unavailable
from atalaia.core.models import Deployment, ModelKey, Scope, Stage
from atalaia.serving.remembered import RememberedDeployments
from tests.kit.fakes import logged

PUMP = Deployment(ModelKey(Scope.SERIES, "pump"), 1, "zscore", "0" * 64, 9, "run", 1)
FLEET = Deployment(
    ModelKey(Scope.FLEET, "all"), 3, "zscore", "1" * 64, 9, "run", 2, Stage.STAGING, "job", 7, "signature", "a key"
)


class Source:
    """Deployments in memory; may be down."""

    def __init__(self, *known: Deployment) -> None:
        self.known = list(known)
        self.is_down = False

    def deployments(self, after_revision: int = 0) -> list[Deployment]:
        if self.is_down:
            raise Unavailable("database_unavailable", "down")
        return [deployment for deployment in self.known if deployment.revision > after_revision]

    def removals(self) -> int:
        return len(self.deployments())

    def version(self, key: ModelKey, number: int) -> Deployment | None:
        found = [d for d in self.deployments() if (d.key, d.number) == (key, number)]
        return found[0] if found else None


def remembered(source: Source, path: Path, *, writes: bool = True) -> RememberedDeployments:
    made = RememberedDeployments(source, path)
    made.writes = writes
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deployments.json"


def test_who_starts_without_the_database_gets_what_served(path: Path) -> None:
    source = Source(PUMP, FLEET)
    assert remembered(source, path).deployments() == [PUMP, FLEET]
    source.is_down = True
    later = remembered(source, path)
    assert later.is_there
    with logged("deployments_remembered"):
        assert later.deployments() == [PUMP, FLEET]
    assert later.version(FLEET.key, 3) == FLEET
    with pytest.raises(Unavailable):
        later.version(FLEET.key, 4)


def test_who_runs_is_told_that_the_database_is_down(path: Path) -> None:
    source = Source(PUMP)
    running = remembered(source, path)
    running.deployments()
    source.is_down = True
    for revision in (0, 1):
        with pytest.raises(Unavailable):
            running.deployments(revision)


def test_without_a_file_there_is_nothing_to_start_from(path: Path) -> None:
    source = Source(PUMP)
    source.is_down = True
    lone = remembered(source, path)
    assert not lone.is_there
    with pytest.raises(Unavailable):
        lone.deployments()


def test_what_changed_takes_the_place_of_what_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atalaia.serving.remembered._WRITE_SHARE", 1e9)
    challenger = replace(PUMP, number=2, stage=Stage.STAGING, revision=3)
    source = Source(PUMP, FLEET, challenger)
    running = remembered(source, path)
    running.deployments()
    second = replace(PUMP, number=2, revision=4)  # promoted: no challenger is named any more
    source.known = [FLEET, second]
    running.deployments(3)
    source.is_down = True
    with logged("deployments_remembered"):
        assert remembered(source, path).deployments() == [FLEET, second]


def test_a_file_that_is_damaged_is_as_none(path: Path) -> None:
    source = Source(PUMP)
    source.is_down = True
    path.write_text('[{"key": ')
    with logged("deployments_not_read"), pytest.raises(Unavailable):
        remembered(source, path).deployments()


def test_only_who_shall_write_writes(path: Path) -> None:
    remembered(Source(PUMP), path, writes=False).deployments()
    assert not path.exists()


def test_a_file_that_cannot_be_written_holds_up_nobody(path: Path) -> None:
    path.mkdir()
    with logged("deployments_not_remembered"):
        assert remembered(Source(PUMP), path).deployments() == [PUMP]
    assert [found.name for found in path.parent.iterdir()] == ["deployments.json"]
