"""A history on its own, without anybody who scores."""

from collections.abc import Callable
from contextlib import contextmanager

from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.signals.history import FOLDER, History
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import history as store
from tests.signals.builders import columns, fresh_database

FOREVER = 1 << 62


def rows_of(points):
    return list(zip(points.series.tolist(), points.timestamps.tolist(), points.values.tolist(), strict=True))


class Room:
    """A history on its own, with the batches marked as scored by hand."""

    def __init__(self, folder, **settings):
        self.database = fresh_database(folder)
        self.blobs = Blobs(folder / "blobs")
        self.settings = SignalsSettings(**settings)
        self.history = History(self.database, self.blobs, self.settings)

    def append(self, *points):
        with self.database.write() as session:
            self.history.append(session, columns(*points))

    def score(self, batches=1000, in_round=0):
        with self.database.write() as session:
            waiting = store.unscored(session, 1 << 40)
            store.mark_scored(session, [row.id for row in waiting[:batches]], in_round)

    def apply(self, swap):
        with self.database.write() as session:
            return swap(session)

    def compact(self, *points):
        """Append one batch and make it a block of its own."""
        self.append(*points)
        self.score()
        return self.apply(self.history.compaction())

    def read(self, numbers=(1, 2, 3), start=0, end=FOREVER):
        return rows_of(self.history.read(numbers, start, end))

    def blocks(self):
        with self.database.read() as session:
            return store.all_blocks(session)

    def tail(self):
        with self.database.read() as session:
            return store.tail_ids(session, 0, FOREVER)

    def wants_compaction(self):
        with self.database.read() as session:
            return self.history.wants_compaction(session)

    def settle(self):
        """Rewrite blocks until none is worth it."""
        while (swap := self.history.division() or self.history.merge()) is not None:
            self.apply(swap)

    def files(self):
        return {blob.key for blob in self.blobs.list(FOLDER)}


class Meddled(Database):
    """Lets somebody act right after a manifest was read."""

    meddle: Callable[[], None] | None = None

    @contextmanager
    def read(self):
        with super().read() as session:
            yield session
        act, self.meddle = self.meddle, None
        if act is not None:
            act()
