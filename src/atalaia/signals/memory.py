"""What the follower keeps in memory: the statistics of all series and the states of streaming models.

It is stored in pieces (immutable objects and a table that names them), and read back by whoever follows next, or
only needs to know.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import structlog
from sqlalchemy.orm import Session

from atalaia.core.errors import AtalaiaError, Broken, Missing, Stale, Unavailable
from atalaia.core.ids import new_id
from atalaia.core.points import NumberArray
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database, serialize
from atalaia.signals.ports import Scorer
from atalaia.signals.statistics import PAGE, StatisticsColumns, StoredStatistics
from atalaia.signals.store import follower as store

FOLDER = "memory"
_PAGE = "statistics/"
_MODEL = "model/"
GoOn = Callable[[], None]
"""Is called before each step of what takes long, and ends it by raising."""
_log = structlog.get_logger(__name__)


class Memory:
    """The memory of the follower.

    Attributes
    ----------
    is_live
        Whether this process follows, so that its memory is the truth.
    round
        The last round of scoring that is in memory.
    """

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs
        self._lock = threading.Lock()
        self._live = StatisticsColumns()
        self._stored = StoredStatistics(self._blobs.get)
        self._replaced: list[str] = []
        self._covered = 0
        self.is_live = False
        self.round = 0

    @property
    def live(self) -> StatisticsColumns:
        """The statistics that the follower folds points into."""
        return self._live

    def statistics(self, session: Session) -> tuple[StatisticsColumns, int]:
        """Return the statistics as far as this process knows them, and the round that they cover."""
        if self.is_live:
            return self._live, self.round
        with self._lock:
            stored = store.parts(session, _PAGE).items()
            pages = {int(name[len(_PAGE) :]): (part.key, part.sha256) for name, part in stored}
            return self._stored.columns(pages), store.stored_round(session)

    @property
    def is_behind(self) -> bool:
        """Whether there is anything in memory that is not stored."""
        return self.round > self._covered

    def horizon(self, session: Session) -> int:
        """Return the last round whose batches may leave the tail: those of later ones are what restores the memory.

        Without anything stored the memory is made from the blocks first, and no batch may move there meanwhile.
        """
        return store.stored_round(session) or -1

    def forget(self) -> None:
        """Stop believing what is in memory: it is not what the database says, or another process follows now."""
        self.is_live = False

    def follow_from(self, last_round: int) -> None:
        """Believe what is in memory: it holds all rounds, the last one included."""
        self.round = last_round
        if not self._live.received.any():
            self._covered = last_round  # there is nothing to store
        self.is_live = True

    def outdate(self) -> None:
        """Note that a model has learnt something beside the rounds, so that there is something to store."""
        self._covered = -1

    def load(self, scorer: Scorer, go_on: GoOn) -> bool:
        """Read what was stored last; return whether there were statistics, and all of them were whole.

        Raises
        ------
        Unavailable
            When the store cannot be reached.
        """
        with self._database.read() as session:
            pages, states = store.parts(session, _PAGE), store.parts(session, _MODEL)
            self.round = self._covered = store.stored_round(session)
        self._live = StatisticsColumns()
        self._restore(scorer, states, go_on)
        for name, part in pages.items():
            go_on()
            try:
                self._live.put_page(int(name[len(_PAGE) :]), self._blobs.get(part.key, part.sha256))
            except Unavailable:
                raise  # it is there, and will be read later: whoever began anew would throw it away
            except AtalaiaError as error:
                _log.error("memory_not_read", error=error.detail)
                return False
        return bool(pages)

    def begin(self, owner: str) -> None:
        """Begin without statistics: nothing usable is stored, and from now on no batch may leave the tail.

        Raises
        ------
        Stale
            When another process follows now.
        """
        with self._database.write() as session:
            store.own(session, owner).stored = 0
            serialize(session, "tail to blocks")  # a compaction that is about to commit does so first
            store.save_parts(session, {}, store.parts(session, _PAGE))
        self._live = StatisticsColumns()
        self.round = self._covered = 0

    def share(self, scorer: Scorer) -> None:
        """Let the models of a process that does not follow learn what the follower has stored."""
        states = self.kept()
        if not self.is_live:
            scorer.restore(states)

    def kept(self) -> dict[str, Callable[[], bytes]]:
        """Return what reads the stored state of each streaming model, by its name."""
        with self._database.read() as session:
            return _by_model(store.parts(session, _MODEL), self._read)

    def save(self, owner: str, scorer: Scorer, go_on: GoOn) -> int:
        """Store what changed; return how many bytes that were.

        Raises
        ------
        Stale, Unavailable
            When another process follows now, or the disk is full. What was stored before stays, and what is in
            memory does not know any more what changed since.
        """
        fresh, live = self._changed(scorer, go_on)
        saved: dict[str, store.Part] = {}
        for name, data in fresh.items():
            go_on()
            blob = self._blobs.put(f"{FOLDER}/{new_id('mem')}.npz", data)
            saved[name] = store.Part(blob.key, blob.sha256)
        with self._database.write() as session:
            row = store.own(session, owner)
            before = store.parts(session)
            gone = [name for name in before if name.startswith(_MODEL) and name not in live]
            store.save_parts(session, saved, gone)
            row.stored = self.round
        self._covered = self.round
        for key in self._replaced:  # those who had just been told of them have read them by now
            self._blobs.delete(key)
        self._replaced = [before[name].key for name in [*saved, *gone] if name in before]
        return sum(map(len, fresh.values()))

    def without(self, numbers: NumberArray) -> Callable[[Session], list[str]]:
        """Store the statistics without those of some series; return what swaps them in, and tells the old objects.

        Whoever follows begins anew from them: what it has in memory, and a round that it scores, are given up.
        """
        with self._database.read() as session:
            before = store.parts(session, _PAGE)
        pages = {f"{_PAGE}{page:05d}": page for page in np.unique(numbers // PAGE).tolist()}
        saved: dict[str, store.Part] = {}
        old: list[str] = []
        for name in pages.keys() & before.keys():
            columns = StatisticsColumns()
            try:
                columns.put_page(pages[name], self._blobs.get(before[name].key, before[name].sha256))
            except (Missing, Broken):  # whoever follows will see that too, and learn all of it anew
                old.append(before[name].key)
                continue
            columns.blank(numbers)
            blob = self._blobs.put(f"{FOLDER}/{new_id('mem')}.npz", columns.page_bytes(pages[name]))
            saved[name] = store.Part(blob.key, blob.sha256)

        def swap(session: Session) -> list[str]:
            store.unseat(session)
            now = store.parts(session, _PAGE)
            if any(now.get(name) != before.get(name) for name in pages):
                raise Stale("lease_lost", "the statistics were stored anew meanwhile")
            store.save_parts(session, saved, ())
            return [*old, *(before[name].key for name in saved)]

        return swap

    def rewrite(self, change: Callable[[str, bytes], bytes | None]) -> Callable[[Session], list[str]]:
        """Store states of streaming models anew as `change` says, given name and state; None removes one.

        Returns what swaps them in, as `without` does; it tells all objects that nothing names any more.
        """
        with self._database.read() as session:
            before = store.parts(session, _MODEL)
        saved: dict[str, store.Part] = {}
        gone: list[str] = []
        for name, part in before.items():
            try:
                data = self._blobs.get(part.key, part.sha256)
            except (Missing, Broken):
                gone.append(name)
                continue
            changed = change(name[len(_MODEL) :], data)
            if changed is None:
                gone.append(name)
            elif changed != data:
                blob = self._blobs.put(f"{FOLDER}/{new_id('mem')}.npz", changed)
                saved[name] = store.Part(blob.key, blob.sha256)

        def swap(session: Session) -> list[str]:
            store.unseat(session)
            if store.parts(session, _MODEL) != before:
                raise Stale("lease_lost", "states were stored anew meanwhile")
            store.save_parts(session, saved, gone)
            # While nobody follows, what is not named never will be: whoever wrote it does not commit any more.
            named = {part.key for part in store.parts(session).values()}
            return [blob.key for blob in self._blobs.list(FOLDER) if blob.key not in named]

        return swap

    def strays(self, words: Sequence[bytes]) -> list[str]:
        """Return the keys of stored pieces that nothing names, and that hold one of some words."""
        with self._database.read() as session:
            named = {part.key for part in store.parts(session).values()}
        found: list[str] = []
        for key in [blob.key for blob in self._blobs.list(FOLDER) if blob.key not in named]:
            with suppress(Missing):
                data = self._blobs.get(key)
                found += [key] if any(word in data for word in words) else []
        return found

    def sweep(self, before_s: float) -> int:
        """Delete stored pieces that nothing names and that were written before a moment; return how many."""
        with self._database.read() as session:
            named = {part.key for part in store.parts(session).values()}
        stale = [b.key for b in self._blobs.list(FOLDER) if b.key not in named and b.modified_s < before_s]
        for key in stale:
            self._blobs.delete(key)
        return len(stale)

    def _changed(self, scorer: Scorer, go_on: GoOn) -> tuple[dict[str, bytes], set[str]]:
        """Return what changed since it was stored, by name, and the names of all models."""
        fresh: dict[str, bytes] = {}
        for page, data in self._live.changed_pages():
            go_on()
            fresh[f"{_PAGE}{page:05d}"] = data
        live: set[str] = set()
        for name, data in scorer.states():
            go_on()
            live.add(_MODEL + name)
            if data is not None:
                fresh[_MODEL + name] = data
        return fresh, live

    def _restore(self, scorer: Scorer, states: Mapping[str, store.Part], go_on: GoOn) -> None:
        """Give models their states back; those that come into memory later read theirs in their own time."""
        is_now = True

        def read(part: store.Part) -> bytes:
            if is_now:
                go_on()
            return self._read(part)

        try:
            scorer.restore(_by_model(states, read))
        finally:
            is_now = False

    def _read(self, part: store.Part) -> bytes:
        return self._blobs.get(part.key, part.sha256)


def _by_model(
    parts: Mapping[str, store.Part], read: Callable[[store.Part], bytes]
) -> dict[str, Callable[[], bytes]]:
    return {name[len(_MODEL) :]: partial(read, part) for name, part in parts.items()}
