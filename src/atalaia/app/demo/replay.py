"""What is left to send and to train, decided from what the service already has. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.app.demo.histories import History
from atalaia.connectors.atalaia import Columns, Model
from atalaia.core.models import Stage
from atalaia.core.points import FloatArray, IntArray

BEFORE_ALL = np.iinfo(np.int64).min
"""The last time of a series that has no point yet."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The points to replay, in the order in which they are sent.

    Attributes
    ----------
    points
        n points.
    elapsed
        int64[n], microseconds since each series' own start, increasing: the runs lie years apart and are
        replayed side by side.
    """

    points: Columns
    elapsed: IntArray

    def __len__(self) -> int:
        return len(self.points)

    def batches(self, size: int) -> Iterator[tuple[Columns, float]]:
        """Yield the points in batches, each with the seconds of data that have passed since the first."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            columns = self.points
            batch = Columns(columns.series_ids[part], columns.timestamps[part], columns.values[part])
            yield batch, float(self.elapsed[start] - self.elapsed[0]) / 1e6


def left_to_learn(history: History, last_us: int) -> Columns:
    """Return the points of the first part that are newer than `last_us`."""
    start = int(np.searchsorted(history.timestamps[: history.cut], last_us, side="right"))
    part = slice(start, history.cut)
    return Columns(
        [history.sample.series_id] * (history.cut - start), history.timestamps[part], history.values[part]
    )


def left_to_replay(histories: Sequence[History], last_us: Mapping[str, int]) -> Replay:
    """Return the points of the second parts that are newer than what the service has of each series."""
    names: list[str] = []
    parts: list[tuple[IntArray, IntArray, FloatArray]] = []
    for history in histories:
        last = last_us.get(history.sample.series_id, BEFORE_ALL)
        start = max(history.cut, int(np.searchsorted(history.timestamps, last, side="right")))
        at = history.timestamps[start:]
        parts.append((at - history.timestamps[0], at, history.values[start:]))
        names += [history.sample.series_id] * len(at)
    elapsed, at, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    order: NDArray[np.intp] = np.argsort(elapsed, kind="stable")
    ordered = [names[int(position)] for position in order]
    return Replay(Columns(ordered, at[order], values[order]), elapsed[order])


@dataclass(frozen=True, slots=True)
class Left:
    """What a model still needs: nothing, a promotion of `version`, or a training first."""

    training: bool
    version: str | None = None


def left_to_train(model: Model | None) -> Left | None:
    """Return what `model` still needs, None when it is in Production."""
    if model is None:
        return Left(training=True)
    if model.production_version:
        return None
    staged = [version.version for version in model.versions if version.stage == Stage.STAGING]
    return Left(training=False, version=staged[-1]) if staged else Left(training=True)
