"""A history held against a plain dict, step by step."""

import os

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Stale
from atalaia.kit.database import Table
from tests.signals.rooms import FOREVER, Room, rows_of

DAY = 86_400 * MICROS


class AgainstADict(RuleBasedStateMachine):
    """Whatever happens in whatever order, a read gives what a dict of (series, time) would give.

    Swaps are prepared and applied apart, as by several workers; one that comes too late must change nothing.
    """

    room: Room
    clock: list[int]
    series: tuple[int, ...]

    @initialize()
    def begin(self):
        with self.room.database.engine.begin() as connection:
            for table in reversed(Table.metadata.sorted_tables):
                connection.execute(table.delete())
        for key in self.room.files():
            self.room.blobs.delete(key)
        self.clock[0] = now_us()
        self.first = self.clock[0] - 30 * DAY
        self.floor = 0
        self.model = {}
        self.swaps = []
        self.dated = set()

    @rule(
        points=st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 29), st.integers(0, 99)), min_size=1, max_size=8
        )
    )
    def append(self, points):
        points = [
            (self.series[which % len(self.series)], self.first + day * DAY, value / 8)
            for which, day, value in points
        ]
        self.room.append(*points)
        self.model.update({(series, moment): value for series, moment, value in points})

    @rule(batches=st.integers(1, 4))
    def score(self, batches):
        self.room.score(batches)

    @rule(kind=st.sampled_from(["compaction", "merge", "division", "expiry"]))
    def prepare(self, kind):
        swap = getattr(self.room.history, kind)()
        self.date_new_files()
        if swap is not None:
            horizon = self.clock[0] - 10 * DAY if kind == "expiry" else 0
            self.swaps.append((swap, horizon))

    @precondition(lambda self: self.swaps)
    @rule(choice=st.integers(0, 9))
    def apply(self, choice):
        swap, horizon = self.swaps.pop(choice % len(self.swaps))
        before = [block.key for block in self.room.blocks()]
        try:
            self.room.apply(swap)
        except Stale:
            assert [block.key for block in self.room.blocks()] == before
        else:
            self.floor = max(self.floor, horizon)

    @rule(kind=st.sampled_from(["compaction", "merge", "division"]))
    def prepare_and_apply(self, kind):
        swap = getattr(self.room.history, kind)()
        self.date_new_files()
        if swap is not None:
            self.room.apply(swap)

    def date_new_files(self):
        """Let what was just written be as young as the stopped clock says."""
        for key in self.room.files() - self.dated:
            now_s = self.clock[0] / MICROS
            os.utime(self.room.blobs.path(key), (now_s, now_s))
            self.dated.add(key)

    @rule(days=st.integers(1, 9))
    def wait(self, days):
        self.clock[0] += days * DAY

    @rule()
    def sweep(self):
        self.room.history.sweep()

    @invariant()
    def a_read_equals_the_model(self):
        if hasattr(self, "model"):
            found = self.room.read(self.series, self.floor)
            assert found == sorted((*key, value) for key, value in self.model.items() if key[1] >= self.floor)

    @rule(start=st.integers(0, 30), days=st.integers(1, 30), which=st.sets(st.integers(0, 3)))
    def a_range_equals_that_of_the_model(self, start, days, which):
        numbers = sorted({self.series[one % len(self.series)] for one in which})
        low = max(self.floor, self.first + start * DAY)
        high = max(low, self.first + (start + days) * DAY)
        expected = sorted((*k, v) for k, v in self.model.items() if k[0] in numbers and low <= k[1] < high)
        assert self.room.read(numbers, low, high) == expected

    @rule(max_points=st.integers(1, 20))
    def all_parts_equal_the_model(self, max_points):
        parts = self.room.history.parts(self.series, self.floor, FOREVER, max_points)
        found = [row for part in parts for row in rows_of(part)]
        assert found == sorted((*key, value) for key, value in self.model.items() if key[1] >= self.floor)

    @invariant()
    def every_block_of_the_manifest_is_there(self):
        if hasattr(self, "model"):
            assert {block.key for block in self.room.blocks()} <= self.room.files()
