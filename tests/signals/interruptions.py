"""A follower that is interrupted in every way, held against one that is not, step by step."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from atalaia.kit.database import Table
from atalaia.signals.memory import FOLDER
from tests.signals.builders import Place, free_lease

SERIES = st.sampled_from("abc")
VALUES = st.sampled_from([0.0, 0.25, 5.0, 20.0, 40.0])


def what_is_known(place: Place) -> object:
    """Return statistics and anomalies of all series, and what was told of them."""
    with place.database.read() as session:
        every, _ = place.signals.list_series(session, fleet_id=None, prefix=None, labels=(), cursor=None, limit=100)
    seen = place.anomalies()
    return {
        series.series_id: (
            (series.statistics, series.received, series.first_at, series.last_at, series.step_s),
            [
                (
                    one.state,
                    one.opened_at,
                    one.last_at,
                    one.closed_at,
                    one.points,
                    one.seen,
                    one.peak_at,
                    one.peak_score,
                )
                for one in seen
                if one.series_id == series.series_id
            ],
            [fact.name for fact in place.told if fact.series_id == series.series_id],
        )
        for series in every
    }


def empty(place: Place) -> None:
    """Begin with nothing."""
    with place.database.engine.begin() as connection:
        for table in reversed(Table.metadata.sorted_tables):
            connection.execute(table.delete())
    for blob in list(place.blobs.list()):
        place.blobs.delete(blob.key)
    del place.told[:]
    place.begin_again()


class Interruptions(RuleBasedStateMachine):
    """Whatever happens to the one follower, it knows what the other knows, and nothing is lost or told twice."""

    steady: Place
    shaky: Place

    @initialize()
    def begin(self):
        for place in (self.steady, self.shaky):
            empty(place)
        self.now = 0

    @rule(points=st.lists(st.tuples(SERIES, st.integers(-4, 9), VALUES), min_size=1, max_size=6))
    def send(self, points):
        """Send points around now: late ones, and some twice."""
        self.now += 2
        batch = [(name, 60.0 * (self.now + when), value) for name, when, value in points]
        for place in (self.steady, self.shaky):
            place.send(*batch)

    @rule()
    def score(self):
        self.shaky.drain()

    @rule()
    def score_both(self):
        self.steady.drain()
        self.shaky.drain()

    @precondition(lambda self: self.shaky.signals.memory.is_live)
    @rule()
    def store(self):
        self.shaky.store()

    @rule()
    def die(self):
        self.shaky.begin_again()

    @rule()
    def stop(self):
        self.shaky.signals.stop()
        self.shaky.begin_again()

    @rule(late=st.booleans())
    def fail(self, late):
        """Let the transaction of the next round fail, before or after the batches were marked."""
        scoring = self.shaky.signals.scoring

        def break_down(*_, **__):
            raise RuntimeError("the power went")

        target, name = (scoring, "_grow") if late else (self.shaky.scorer, "watch_block")
        waits = self.shaky.signals.lag() > 0
        setattr(target, name, break_down)
        try:
            if waits:
                with pytest.raises(RuntimeError):
                    scoring.drain()
        finally:
            delattr(target, name)
        assert not waits or not self.shaky.signals.memory.is_live

    @rule(rewrite=st.booleans())
    def compact(self, rewrite):
        history = self.shaky.signals.history
        swap = history.merge() if rewrite else history.compaction()
        if swap is not None:
            with self.shaky.database.write() as session:
                swap(session)

    @rule()
    def hand_over(self):
        """Let another process follow, and come back."""
        scoring, other = self.shaky.signals.scoring, self.shaky.scoring()
        free_lease(self.shaky.database)
        scoring._renew_at = 0.0  # a lease runs out later than its owner looks after it
        self.shaky.drain(other)
        assert not scoring.drain()
        assert not self.shaky.signals.memory.is_live
        other.release()

    def teardown(self):
        if hasattr(self, "now"):
            self.steady.drain()
            self.shaky.drain()
            assert self.shaky.signals.lag() == 0
            assert what_is_known(self.shaky) == what_is_known(self.steady)


class InOrder(Interruptions):
    """The same for points that come in order; what was stored may be damaged then."""

    @rule(points=st.lists(st.tuples(SERIES, VALUES), min_size=1, max_size=6))
    def send(self, points):
        batch = []
        for name, value in points:
            self.now += 1
            batch.append((name, 60.0 * self.now, value))
        for place in (self.steady, self.shaky):
            place.send(*batch)

    @rule(is_gone=st.booleans(), how_many=st.integers(1, 3))
    def damage(self, is_gone, how_many):
        """Harm what was stored, and let another process begin with it."""
        for blob in list(self.shaky.blobs.list(FOLDER))[-how_many:]:
            if is_gone:
                self.shaky.blobs.delete(blob.key)
            else:
                path = self.shaky.blobs.path(blob.key)
                path.write_bytes(path.read_bytes()[: blob.size_bytes // 2])
        self.shaky.begin_again()
