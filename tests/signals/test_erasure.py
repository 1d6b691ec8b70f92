"""Series become blank with all that is theirs; who comes under their name is somebody new, whoever knew it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from atalaia.core.anomalies import FeedbackKind
from atalaia.core.errors import Missing, Stale, Unavailable
from atalaia.kit.erasures import Subject
from atalaia.signals.erasure import SeriesErasure, again
from atalaia.signals.intake import Delivery
from atalaia.signals.store.anomalies import AnomalyRow, FeedbackRow
from atalaia.signals.store.catalogue import FleetRow, SeriesRow
from tests.connectors.prometheus.senders import send
from tests.signals.builders import START_S, Place, columns, signals_in, us
from tests.signals.doors import app_of
from tests.signals.test_service import spikes

FOR_EVER = 1 << 62


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with signals_in(tmp_path) as place:
        yield place


def number(place: Place, series_id: str) -> int:
    with place.database.read() as session:
        return place.signals.catalogue.number(session, series_id)


def bury(place: Place, *names: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    erasure = SeriesErasure(place.signals)
    for name in names:
        erasure.bury(
            Subject("series_id", name),
            lambda session, series, told, ids, old: kept.update(told, ids=list(ids), old=list(old), series=series),
        )
        for key in kept["old"]:
            place.blobs.delete(key)
    return kept


def values(place: Place, series_id: str) -> list[float]:
    return place.signals.history.read([number(place, series_id)], 0, FOR_EVER).values.tolist()


def test_anomalies_of_others_do_not_name_an_erased_sensor_any_more(place: Place) -> None:
    for count, name in enumerate(("a", "b", "c"), 1):
        spikes(place, name, count)
    off = {"score": 2.0, "seen": 1.0, "expected": 0.0, "lower": -1.0, "upper": 1.0}
    with place.database.write() as session:
        for row in session.scalars(select(AnomalyRow)):
            row.relations = [{"series_id": name, **off} for name in ("b", "a")] if row.series_id == "b" else None
            row.text = "it shows 1 where a press says 0; off with it: a"
    bury(place, "a")
    (of_b,) = place.anomalies(series_id="b")
    (of_c,) = place.anomalies(series_id="c")
    assert [one.series_id for one in of_b.relations] == ["b"]
    assert of_b.explanation.text == "it shows 1 where a press says 0"
    assert (of_c.relations, of_c.explanation.text.endswith("off with it: a")) == ((), True)


def test_points_anomalies_and_what_was_said_go_and_others_stay(place: Place) -> None:
    spikes(place, "a", 1)
    spikes(place, "b", 2)
    (mine,) = place.anomalies(series_id="a")
    with place.database.write() as session:
        place.signals.anomalies.give_feedback(session, mine.anomaly_id, FeedbackKind.USEFUL, "said")
        place.signals.label(session, "a", {"user": "ada"})
        place.signals.catalogue.set_fleet(session, "alone", ["a"])
    kept, count = values(place, "b"), len(place.anomalies())
    told = bury(place, "a")
    assert (told["anomalies_erased"], told["feedback_erased"], told["fleets_removed"]) == (1, 1, 1)
    assert told["ids"] == [mine.anomaly_id]
    assert (values(place, "b"), len(place.anomalies())) == (kept, count - 1)
    with place.database.read() as session:
        row = session.get_one(SeriesRow, 1)
        assert (row.series_id, row.labels, row.fleet_id, row.created_at) == ("\x7f1", {}, None, 0)
        assert session.scalar(select(func.count()).select_from(FeedbackRow)) == 0
        assert session.scalar(select(func.count()).where(AnomalyRow.number == 1)) == 0
        assert session.get(FleetRow, "alone") is None
        for asked in ("a", "\x7f1"):
            with pytest.raises(Missing):
                place.signals.series(session, asked)
        listed, _ = place.signals.list_series(session, fleet_id=None, prefix=None, labels=(), cursor=None, limit=9)
        assert [one.series_id for one in listed] == ["b"]
    assert place.signals.gather_fleets() == ["numbers-0000000"]
    assert place.signals.members("numbers-0000000") == ["b"]


def test_statistics_are_forgotten_wherever_they_are_stored(place: Place) -> None:
    place.send(("a", 0, 1.0), ("b", 0, 2.0))
    place.drain()
    place.store()
    place.send(("a", 60, 3.0), ("b", 60, 4.0))
    bury(place, "a")
    place.drain()  # the follower begins anew from what is stored
    place.drain()
    assert place.signals.memory.live.of(1).count == 0
    assert (place.series("b").statistics.count, place.series("b").received) == (2, 2)
    assert (place.send(("a", 120, 5.0))[2], number(place, "a")) == (1, 3)
    place.drain()
    assert (place.series("a").statistics.count, place.series("a").statistics.mean) == (1, 5.0)


def test_a_process_that_knew_the_name_gives_the_new_one(place: Place) -> None:
    place.send(("a", 0, 1.0))
    assert place.signals.catalogue.known(["a"]) is not None
    bury(place, "a")
    stale = columns((1, us(1), 1.0))  # as a hot door has it, which asks nobody
    with pytest.raises(Unavailable) as refused:
        place.signals.intake.submit(Delivery(lambda session: (stale, {}), 1, False)).result(10)
    assert refused.value.code == "series_erased"
    assert place.signals.catalogue.known(["a"]) is None
    assert place.send(("a", 1, 2.0)) == (1, 1, 1)
    assert (number(place, "a"), values(place, "a")) == (2, [2.0])


def test_others_who_came_with_such_points_are_kept(place: Place) -> None:
    place.send(("a", 0, 1.0), ("b", 0, 1.0))
    bury(place, "a")
    told = [
        place.signals.intake.submit(Delivery(lambda session, p=points: (p, {"n": 1}), 1, False))
        for points in (columns((1, us(1), 1.0)), columns((2, us(1), 2.0)))
    ]
    assert isinstance(told[0].exception(10), Unavailable)
    assert told[1].result(10) == {"n": 1}
    assert values(place, "b") == [1.0, 2.0]


def test_a_number_of_an_erased_series_stands_for_none(place: Place) -> None:
    place.send(("a", 0, 1.0), ("b", 0, 1.0))
    bury(place, "a")
    with place.database.read() as session, pytest.raises(Missing):
        place.signals.catalogue.check_numbers(session, np.array([2, 1], np.int32))
    with place.database.read() as session:
        place.signals.catalogue.check_numbers(session, np.array([2], np.int32))


@pytest.mark.parametrize("version", [1, 2])
def test_a_sender_of_remote_write_is_told_to_come_again(place: Place, version: int) -> None:
    app = app_of(place)
    labels = [("__name__", "steps"), ("user", "ada")]
    answers = [send(app, version, (labels, [(1.0, START_S * 1_000)])).status]
    bury(place, 'steps{user="ada"}')
    answers += [send(app, version, (labels, [(2.0, (START_S + at) * 1_000)])).status for at in (60, 120)]
    assert answers == [204, 503, 204]
    assert values(place, 'steps{user="ada"}') == [2.0]
    assert number(place, 'steps{user="ada"}') == 2


def test_a_compaction_that_has_read_the_points_does_not_commit(place: Place) -> None:
    place.send(("a", 0, 1.0), ("b", 0, 2.0))
    place.drain()
    place.store()
    swap = place.signals.history.compaction()
    bury(place, "a")
    assert swap is not None
    with pytest.raises(Stale), place.database.write() as session:
        swap(session)
    assert len(place.signals.history.strays([1])) == 1  # what it wrote; nobody will name it
    assert place.signals.history.strays([7]) == []
    assert values(place, "b") == [2.0]


def test_a_round_that_is_being_scored_does_not_commit(place: Place) -> None:
    place.send(("a", 0, 1.0))
    place.drain()
    scorer = place.scorer
    real = scorer.watch_block

    def watch(*given: Any, **more: Any) -> Any:
        scorer.watch_block = real
        bury(place, "a")  # another process, in the midst of the round
        return real(*given, **more)

    scorer.watch_block = watch
    place.send(("a", 60, 99.0), ("b", 60, 99.0), ("b", 120, 99.0), ("b", 180, 99.0))
    place.drain()
    place.drain()
    with place.database.read() as session:
        assert session.scalar(select(func.count()).where(AnomalyRow.number == 1)) == 0
    assert place.series("b").received == 3


def test_blocks_are_written_anew_until_none_holds_a_point(place: Place) -> None:
    for at in range(3):
        place.send(("a", at, 1.0), ("b", at, 2.0))
        place.drain()
        place.store()
        swap = place.signals.history.compaction()
        assert swap is not None
        with place.database.write() as session:
            swap(session)
    bury(place, "a")
    told: list[dict[str, Any]] = []
    SeriesErasure(place.signals).blocks([1], lambda session, counts, old: told.append(dict(counts)))
    assert told == [{"block_points_erased": 3, "blocks_rewritten": 3}]
    assert (values(place, "b"), place.signals.history.strays([1])) == ([2.0] * 3, [])


def test_a_series_that_gets_the_label_meanwhile_goes_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.send(("a", 0, 1.0), ("b", 0, 2.0))
    with place.database.write() as session:
        place.signals.label(session, "a", {"user": "ada"})
    real, seen = place.signals.memory.without, list[list[int]]()

    def late(numbers: Any) -> Any:
        if not seen:
            with place.database.write() as session:
                place.signals.label(session, "b", {"user": "ada"})
        seen.append(numbers.tolist())
        return real(numbers)

    monkeypatch.setattr(place.signals.memory, "without", late)
    kept: list[dict[int, str]] = []
    SeriesErasure(place.signals).bury(
        Subject("label", "user:ada"), lambda session, series, *rest: kept.append(series)
    )
    assert (seen, kept) == ([[1], [1, 2]], [{1: "a", 2: "b"}])


def test_who_is_always_overtaken_says_so() -> None:
    tries: list[int] = []

    def attempt() -> None:
        tries.append(1)
        raise Stale("lease_lost", "again")

    with pytest.raises(Unavailable):
        again(attempt)
    assert len(tries) == 20


def test_a_subject_is_counted_before_anything_goes(place: Place) -> None:
    spikes(place, "a", 1)
    erasure = SeriesErasure(place.signals)
    with place.database.read() as session:
        series = erasure.find(session, Subject("series_id", "a"))
        counted = erasure.counted(session, list(series))
    assert (counted["series"], counted["anomalies"]) == (1, 1)
    assert counted["points"] == len(values(place, "a"))
    with place.database.read() as session:
        assert erasure.counted(session, []) == {"series": 0, "points": 0, "anomalies": 0}
