"""The stores of the slices keep what they promise when several processes write at once, on every twin."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from atalaia.core.clock import now_us
from atalaia.core.errors import Conflict, Missing, Stale
from atalaia.core.models import ModelKey, Scope, Stage
from atalaia.core.points import Points
from atalaia.kit.arrow import points_from_ipc
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.lifecycle import store as lifecycle
from atalaia.lifecycle.deployments import DeploymentList
from atalaia.lifecycle.promotion import Promotion
from atalaia.serving import store as serving
from atalaia.signals.catalogue import Catalogue
from atalaia.signals.history import History
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import anomalies, catalogue, follower, history
from tests.contracts.conftest import Open
from tests.kit.fakes import in_threads

KEY = ModelKey(Scope.SERIES, "pump")


def count(database: Database, table: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def resolve(database: Database, *names: str, settings: SignalsSettings | None = None, fails: int = 0) -> list[int]:
    with database.write() as session:
        found = Catalogue(settings or SignalsSettings()).resolve(session, names)[0].tolist()
        assert 0 // (1 - fails) == 0
        return found


# the catalogue


def test_the_same_new_series_of_two_writers_at_once_is_one_row(open_database: Open, database: Database) -> None:
    each = [database, open_database()]
    told: list[list[int]] = []

    def add(number: int) -> None:
        names = [f"s{i}" for i in range(number, number + 20)]
        told.append(resolve(each[number % 2], *(names if number % 2 else reversed(names))))

    in_threads(6, add)
    with database.read() as session:
        numbers = dict(catalogue.each_number(session))
    assert sorted(numbers.values()) == list(range(1, 26)), "no gaps: every number up to the highest is a series"
    assert all(len(set(found)) == 20 for found in told)


def test_series_that_were_rolled_back_leave_no_gap(database: Database) -> None:
    resolve(database, "a")
    with pytest.raises(ZeroDivisionError):
        resolve(database, "b", "c", fails=1)
    assert resolve(database, "d") == [2]
    with database.write() as session:
        known = Catalogue(SignalsSettings())
        known.check_numbers(session, np.array([1, 2], np.int32))
        with pytest.raises(Missing):
            known.check_numbers(session, np.array([3], np.int32))


def test_a_fleet_is_never_overfull(open_database: Open, database: Database) -> None:
    settings = SignalsSettings(fleet_max_series=5)
    each = [database, open_database()]

    def add(number: int) -> None:
        resolve(each[number % 2], *(f"p{number}-{i}" for i in range(4)), settings=settings)
        with each[number % 2].write() as session:
            Catalogue(settings).gather(session)

    in_threads(4, add)
    with database.read() as session:
        assert max(catalogue.fleet_sizes(session).values()) <= 5
        assert sum(catalogue.fleet_sizes(session).values()) == 16


def test_labels_that_two_set_at_once_are_both_there(open_database: Open, database: Database) -> None:
    resolve(database, "a")
    each = [database, open_database()]

    def label(number: int) -> None:
        with each[number % 2].write() as session:
            Catalogue(SignalsSettings()).label(session, "a", {f"label{number}": "x"})

    in_threads(6, label)
    with database.read() as session:
        assert len(Catalogue(SignalsSettings()).row(session, "a").labels) == 6


def test_labels_are_kept_as_they_are(database: Database) -> None:
    labels = {"name": "é ☃ \0 \ud800", "empty": ""}
    with database.write() as session:
        Catalogue(SignalsSettings()).resolve(session, ["a"], labels={"a": labels})
    with database.read() as session:
        assert Catalogue(SignalsSettings()).row(session, "a").labels == labels


def test_pages_are_in_the_order_of_bytes(database: Database) -> None:
    names = ["a", "B", "b", "A", "_", "a-b", "ab", "á", "Z", "0"]
    resolve(database, *names)
    found: list[str] = []
    with database.read() as session:
        while page := catalogue.series_page(
            session, after=found[-1] if found else None, limit=3, fleet_id=None, prefix=None
        ):
            found += [row.series_id for row in page]
        with_a = catalogue.series_page(session, after=None, limit=9, fleet_id=None, prefix="a")
    assert found == sorted(names)
    assert [row.series_id for row in with_a] == ["a", "a-b", "ab"]


# the tail and the blocks


def points(number: int, rows: int = 3) -> Points:
    at = np.arange(rows, dtype=np.int64)
    return Points(np.ones(rows, np.int32), at, np.full(rows, float(number)))


def test_batches_of_many_become_visible_in_order_of_their_ids(
    open_database: Open, database: Database, tmp_path: Path
) -> None:
    resolve(database, "a")
    pasts = [History(each, Blobs(tmp_path / "b"), SignalsSettings()) for each in (database, open_database())]
    seen: list[list[int]] = []

    def append(number: int) -> None:
        for turn in range(8):
            if number == 0:
                with database.read() as session:
                    seen.append([batch.id for batch in history.unscored(session, 1_000_000)])
            else:
                with pasts[number % 2]._database.write() as session:
                    pasts[number % 2].append(session, points(10 * number + turn))

    in_threads(5, append)
    with database.read() as session:
        batches = history.unscored(session, 1_000_000)
    assert len(batches) == 32
    assert all(len(points_from_ipc(batch.points)) == 3 for batch in batches)
    ids = [batch.id for batch in batches]
    assert all(part == ids[: len(part)] for part in seen), "no batch appears behind one that was seen"


def test_of_two_that_score_or_compact_the_same_batches_one_is_told_so(
    open_database: Open, database: Database, tmp_path: Path
) -> None:
    resolve(database, "a")
    past = History(database, Blobs(tmp_path / "b"), SignalsSettings())
    with database.write() as session:
        past.append(session, points(1))
        past.append(session, points(2))
    for step in (lambda s, ids: history.mark_scored(s, ids, 1), history.remove_batches):
        with database.read() as session:
            ids = sorted(session.scalars(select(history.TailRow.id)))
        each, outcomes = [database, open_database()], list[str]()

        def act(number: int, each: Any = each, outcomes: Any = outcomes, step: Any = step, ids: Any = ids) -> None:
            try:
                with each[number].write() as session:
                    step(session, ids)
                outcomes.append("done")
            except Stale:
                outcomes.append("stale")

        in_threads(2, act)
        assert sorted(outcomes) == ["done", "stale"]
    assert count(database, history.TailRow) == count(database, history.TailPointsRow) == 0


# anomalies and the follower


def test_an_anomaly_is_kept_changed_and_spoken_of(database: Database) -> None:
    resolve(database, "a")
    row = {
        "id": "ano_1",
        "number": 1,
        "series_id": "a",
        "state": "open",
        "opened_at": 1,
        "last_at": 2,
        "peak_at": 2,
    }
    row |= {"peak_score": 2.5, "strange": 3, "quiet": 0, "seen": 9.0, "part": "", "text": "é ☃", "model_id": "m"}
    row |= {"model_version": "v1", "algorithm": "zscore", "expected": None, "lower": None, "upper": None}
    with database.write() as session:
        anomalies.save(session, [row], [], [])
    with database.write() as session:
        assert anomalies.growing(session)[1].id == "ano_1"
        session.add(anomalies.FeedbackRow(anomaly_id="ano_1", kind="confirmed", note="☃", created_at=1))
        anomalies.save(session, [], [{"id": "ano_1", "state": "closed", "quiet": 4}], [])
    with database.read() as session:
        page = anomalies.anomalies_page(session, number=1, from_us=0, to_us=9, state=None, before=(9, "x"), limit=5)
        assert [(found.state, found.text) for found in page] == [("closed", "é ☃")]
        assert anomalies.growing(session) == {}


def test_one_follows_at_a_time_and_parts_are_named_by_it(open_database: Open, database: Database) -> None:
    each = [database, open_database()]
    with database.write() as session:
        row = follower.follower(session)
        assert row is not None
        row.owner = "one"
    rounds: list[int] = []

    def advance(number: int) -> None:
        for _ in range(5):
            with each[number % 2].write() as session:
                row = follower.own(session, "one")
                row.round += 1
                rounds.append(row.round)

    in_threads(4, advance)
    assert sorted(rounds) == list(range(2, 22))
    with database.write() as session:
        follower.save_parts(session, {"b": follower.Part("k1", "s"), "a": follower.Part("k2", "s")}, [])
        follower.save_parts(session, {"a": follower.Part("k3", "s")}, ["b", "none"])
        assert follower.parts(session, "a") == {"a": follower.Part("k3", "s")}
    with pytest.raises(Stale), database.write() as session:
        follower.own(session, "two")


# lifecycle


def register(database: Database, key: ModelKey, job_id: str) -> int:
    with database.write() as session:
        model = lifecycle.lock_or_add_model(session, key, now_us())
        model.latest += 1
        session.add(
            lifecycle.VersionRow(
                key=model.key,
                number=model.latest,
                stage=Stage.STAGING.value,
                algorithm="zscore",
                hyperparameters={"a": 1},
                metrics={"points": 1.0},
                series_count=1,
                sha256="0" * 64,
                size_bytes=1,
                run_id=job_id,
                job_id=job_id,
                learnt={},
                created_at=now_us(),
            )
        )
        return model.latest


TRUSTING: Any = SimpleNamespace(check=lambda _: None, check_copy=lambda _: None)
"""Believes every version: signatures have tests of their own."""


def test_versions_of_a_new_model_registered_at_once_count_up(open_database: Open, database: Database) -> None:
    each = [database, open_database()]
    numbers: list[int] = []
    in_threads(6, lambda number: numbers.append(register(each[number % 2], KEY, f"job_{number}")))
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]


def test_promotions_of_one_series_at_once_end_with_one_version_in_production(
    open_database: Open, database: Database
) -> None:
    each = [database, open_database()]
    versions = [register(database, KEY, f"job_{number}") for number in range(6)]
    promotions = [
        Promotion(one, box, SimpleNamespace(set_stage=print), TRUSTING)  # pyright: ignore[reportArgumentType]
        for one in each
        if (box := quiet_outbox(one))
    ]

    def promote(number: int) -> None:
        with each[number % 2].write() as session:
            promotions[number % 2].promote(session, KEY, versions[number], archive_previous=number % 3 > 0)

    in_threads(6, promote)
    with database.read() as session:
        rows = lifecycle.versions_of(session, [str(KEY)])
        serving_now = [row.number for row in rows if row.stage == Stage.PRODUCTION]
        model = session.get_one(lifecycle.ModelRow, str(KEY))
    assert serving_now == [model.production]
    assert model.revision == 6
    found = DeploymentList(database).deployments(5)
    assert [(deployment.number, deployment.revision) for deployment in found] == [(model.production, 6)]


def test_the_same_version_promoted_twice_at_once_is_promoted_once(open_database: Open, database: Database) -> None:
    each, outcomes = [database, open_database()], list[str]()
    register(database, KEY, "job_1")

    def promote(number: int) -> None:
        promotion = Promotion(each[number % 2], quiet_outbox(each[number % 2]), SimpleNamespace(), TRUSTING)  # pyright: ignore[reportArgumentType]
        try:
            with each[number % 2].write() as session:
                promotion.promote(session, KEY, 1, archive_previous=True)
            outcomes.append("done")
        except Conflict:
            outcomes.append("not in staging")

    in_threads(4, promote)
    assert sorted(outcomes) == ["done"] + 3 * ["not in staging"]


def test_whoever_follows_revisions_misses_none(open_database: Open, database: Database) -> None:
    each = [database, open_database()]
    keys = [ModelKey(Scope.SERIES, f"s{number}") for number in range(8)]
    for number, key in enumerate(keys):
        register(database, key, f"job_{number}")
    promotions = [Promotion(one, quiet_outbox(one), SimpleNamespace(), TRUSTING) for one in each]  # pyright: ignore[reportArgumentType]
    seen: list[int] = []

    def act(number: int) -> None:
        if number == 0:
            deployments = DeploymentList(database)
            while len(seen) < 8:
                seen.extend(d.revision for d in deployments.deployments(seen[-1] if seen else 0))
            return
        for key in keys[number - 1 :: 4]:
            with each[number % 2].write() as session:
                promotions[number % 2].promote(session, key, 1, archive_previous=True)

    in_threads(5, act)
    assert seen == list(range(1, 9))
    assert all(a < b for a, b in pairwise(seen))


def quiet_outbox(database: Database) -> Outbox:
    box = Outbox(database)
    box.deliver_by(int)
    return box


# serving


def test_counts_that_two_add_at_once_are_added_up(open_database: Open, database: Database) -> None:
    each = [database, open_database()]
    one = np.zeros((serving.PAGE, 2), np.int64)
    one[7] = (2, 1)

    def add(number: int) -> None:
        for _ in range(3):
            with each[number % 2].write() as session:
                serving.add_counts(session, {(0, serving.HOUR_US): one, (number % 3, 2 * serving.HOUR_US): one})

    in_threads(6, add)
    with database.read() as session:
        assert serving.counts_since(session, 7, 2 * serving.HOUR_US) == (12, 6)
        assert serving.counts_since(session, 7, serving.HOUR_US) == (36 + 12, 18 + 6)
