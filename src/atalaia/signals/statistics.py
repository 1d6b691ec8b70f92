"""The running statistics of all series, as columns by number: in the memory of the follower, or as it stored them.

285,000 series take 42 MB. The follower stores pages of 4,096 series now and then; whoever is not the follower reads
those.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from atalaia.algorithms.artifacts import pack, unpack
from atalaia.algorithms.calibration import Tails, watch
from atalaia.algorithms.compiled import compiled
from atalaia.algorithms.running import FORGETS, Running, fold
from atalaia.core.errors import AtalaiaError, Broken
from atalaia.core.points import FloatArray, IntArray, NumberArray, Points

PAGE = 4_096
_FORMAT = "atalaia.statistics"
_COLUMNS = tuple(field.name for field in fields(Running))
_TAIL = "tail_"
_GROWS = 4
_FEW_US = 300_000_000
_LATER = frozenset("unsteady gap_us flat flat_since flat_usual arrived_us wait_us".split())
"""Columns that pages of earlier releases lack: they begin anew."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SeriesStatistics:
    """What is known of one series without its points; times in microseconds, None while unknown."""

    received: int = 0
    first_ts: int | None = None
    last_ts: int | None = None
    count: int = 0
    mean: float = 0.0
    std: float = 0.0
    last_value: float | None = None
    step_us: float | None = None


UNKNOWN = SeriesStatistics()


class StatisticsColumns:
    """Running statistics by number, and which pages of them changed since they were stored."""

    def __init__(self) -> None:
        self.running = Running.empty(PAGE)
        self.received = np.zeros(PAGE, np.int64)
        self.tails = Tails.empty(PAGE)
        self.arrived_us = np.zeros(PAGE, np.int64)
        self.wait_us = np.zeros(PAGE, np.int64)
        self._changed = np.zeros(1, np.bool_)

    def receive(self, numbers: NumberArray) -> None:
        """Count points as received, whatever becomes of them."""
        self._grow(int(numbers.max(initial=0)) + 1)
        _receive(self.received, self._changed, numbers)

    def learn(self, numbers: NumberArray, timestamps: IntArray, values: FloatArray) -> NDArray[np.bool_]:
        """Fold points in, in their order; return which of them are newer than all before them of their series."""
        if not len(numbers):
            return np.zeros(0, np.bool_)
        self._grow(int(numbers.max()) + 1)
        return fold(self.running, numbers, timestamps, values)

    def arrive(self, numbers: NumberArray, now_us: int, since_us: int) -> None:
        """Note when newer points than all before arrived; nothing was heard before `since_us`."""
        _arrive(self.arrived_us, self.wait_us, numbers, now_us, since_us)

    def blank(self, numbers: NumberArray) -> None:
        """Forget what is known of some series."""
        known = numbers[numbers < len(self.received)]
        nothing = Running.empty(1)
        for name in _COLUMNS:
            getattr(self.running, name)[known] = getattr(nothing, name)[0]
        for column in self._own().values():
            column[known] = 0

    def watch(self, numbers: NumberArray, timestamps: IntArray, scores: FloatArray) -> None:
        """Fold scores in, in their order; they are told in parts of the detectors' own thresholds."""
        watch(self.tails, numbers, timestamps, scores)

    def _own(self) -> dict[str, NDArray[Any]]:
        times = {"received": self.received, "arrived_us": self.arrived_us, "wait_us": self.wait_us}
        return times | {_TAIL + name: column for name, column in self.tails._asdict().items()}

    def page_bytes(self, page: int) -> bytes:
        """Return a page as it is stored."""
        rows = slice(page * PAGE, (page + 1) * PAGE)
        columns: dict[str, NDArray[Any]] = {name: getattr(self.running, name)[rows] for name in _COLUMNS}
        own = {name: column[rows] for name, column in self._own().items()}
        return pack({"format": _FORMAT, "version": 1}, {**columns, **own})

    def of(self, number: int) -> SeriesStatistics:
        """Return what is known of a series."""
        if number >= len(self.received) or not self.received[number]:
            return UNKNOWN
        running = self.running
        count, last, step = int(running.count[number]), running.last_value[number], running.step_us[number]
        return SeriesStatistics(
            received=int(self.received[number]),
            first_ts=int(running.first_ts[number]) if count else None,
            last_ts=int(running.last_ts[number]) if count else None,
            count=count,
            mean=float(running.mean[number]),
            std=float(np.sqrt(running.m2[number] / (count - 1))) if count > 1 else 0.0,
            last_value=None if np.isnan(last) else float(last),
            step_us=None if np.isnan(step) else float(step),
        )

    def newest(self, numbers: NumberArray) -> int | None:
        """Return when the newest point of any of the series was measured, None when there is none."""
        known = numbers[numbers < len(self.received)]
        known = known[self.running.count[known] > 0]
        return int(self.running.last_ts[known].max()) if len(known) else None

    def known(self, points: Points) -> Points:
        """Return those of the points that are not newer than what was learnt of their series."""
        points = points.take(points.series < len(self.received))
        count, last = self.running.count[points.series], self.running.last_ts[points.series]
        return points.take((count > 0) & (points.timestamps <= last))

    def changed_pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield each page that changed since it was yielded last, and its bytes."""
        for page in np.flatnonzero(self._changed).tolist():
            yield page, self.page_bytes(page)
            self._changed[page] = False

    def put_page(self, page: int, data: bytes) -> None:
        """Take a page back.

        Raises
        ------
        Broken
            When it is not a page.
        """
        self._grow((page + 1) * PAGE)
        rows = slice(page * PAGE, (page + 1) * PAGE)
        try:
            header, members = unpack(data)
            if (header.get("format"), header.get("version")) != (_FORMAT, 1):
                raise ValueError("it is of another format")
            running: dict[str, NDArray[Any]] = {name: getattr(self.running, name) for name in _COLUMNS}
            for name, column in {**running, **self._own()}.items():
                if name in members or name not in _LATER and not name.startswith(_TAIL):
                    column[rows] = members[name].array(column.dtype.str, (PAGE,))
        except (KeyError, ValueError) as error:
            raise Broken("bad_blob", f"a stored page of statistics cannot be used: {error}") from error

    def _grow(self, series: int) -> None:
        if series <= len(self.received):
            return
        pages = max(2 * len(self._changed), -(-series // PAGE))
        self.running = self.running.grown(pages * PAGE)
        more = np.zeros(pages * PAGE - len(self.received), np.int64)
        self.received = np.append(self.received, more)
        self.tails = self.tails.grown(pages * PAGE)
        self.arrived_us, self.wait_us = np.append(self.arrived_us, more), np.append(self.wait_us, more)
        self._changed = np.append(self._changed, np.zeros(pages - len(self._changed), np.bool_))


class StoredStatistics:
    """Statistics as the follower last stored them, for other processes; each page is read once and kept.

    Parameters
    ----------
    read
        Returns a stored object, given its key and its SHA-256.
    """

    def __init__(self, read: Callable[[str, str], bytes]) -> None:
        self._read = read
        self._keys: dict[int, str] = {}
        self._columns = StatisticsColumns()

    def columns(self, stored: Mapping[int, tuple[str, str]]) -> StatisticsColumns:
        """Return the columns, given key and SHA-256 of each page; one that cannot be read stays as it was."""
        for page, (key, sha256) in stored.items():
            if self._keys.get(page) != key:
                self._keys[page] = key  # not read again if it is damaged: the follower will store another
                try:
                    self._columns.put_page(page, self._read(key, sha256))
                except AtalaiaError as error:
                    _log.warning("statistics_not_read", page=page, error=error.detail)
        return self._columns


def in_time_order(numbers: NumberArray, timestamps: IntArray, latest: IntArray) -> bool:
    """Return whether every point of a batch is newer than those of its series before it in the batch.

    Parameters
    ----------
    latest
        int64, longer than the largest number; scratch that is -1 everywhere, and is so again afterwards.
    """
    return bool(_in_time_order(numbers, timestamps, latest))


def positions_of(numbers: NumberArray, wanted: Sequence[int]) -> NDArray[np.intp]:
    """Return the positions of the points of some series, sorted by series, in their order inside each."""
    if not wanted:
        return np.empty(0, np.intp)
    is_wanted = np.zeros(max(int(numbers.max(initial=0)), *wanted) + 1, np.bool_)
    is_wanted[list(wanted)] = True
    places = np.flatnonzero(is_wanted[numbers])
    return places[np.argsort(numbers[places], kind="stable")]


@compiled
def _receive(received: IntArray, changed: NDArray[np.bool_], numbers: NumberArray) -> None:
    for i in range(len(numbers)):
        received[numbers[i]] += 1
        changed[numbers[i] // PAGE] = True


@compiled
def _arrive(arrived: IntArray, wait: IntArray, numbers: NumberArray, now: int, since: int) -> None:
    for i in range(len(numbers)):
        number = numbers[i]
        if arrived[number] > 0 and arrived[number] != now:
            most = _GROWS * max(wait[number], _FEW_US)  # an outage does not teach that outages are usual
            waited = min(now - max(arrived[number], since), most)
            wait[number] = max(np.int64(wait[number] * FORGETS), waited)
        arrived[number] = now


@compiled
def _in_time_order(numbers: NumberArray, timestamps: IntArray, latest: IntArray) -> bool:
    ordered = True
    for i in range(len(numbers)):
        if timestamps[i] <= latest[numbers[i]]:
            ordered = False
            break
        latest[numbers[i]] = timestamps[i]
    for i in range(len(numbers)):
        latest[numbers[i]] = -1
    return ordered
