"""Points as they arrive, scored by the models of their series and by those of the assets that they are sensors of.

A model of an asset judges a moment when it is complete, see `algorithms.assets.gathering`. What it says is about
a reading of one sensor, which may stand in the block that completed the moment, or have come before it: then it is
put before the points of the block once more, so that the anomaly of its series grows by it all the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from atalaia.algorithms.asset_following import Following, Word
from atalaia.algorithms.sentences import asset_sentence
from atalaia.core.errors import AtalaiaError, Stale
from atalaia.core.points import FloatArray, IntArray, NumberArray, Points
from atalaia.core.scores import THRESHOLD, BrokenRelation, Explanation, ModelRef
from atalaia.serving.assets import LoadedAsset
from atalaia.serving.blocks import Block
from atalaia.serving.ports import Catalogue
from atalaia.serving.service import Serving
from atalaia.serving.streams import Pupil

_log = structlog.get_logger(__name__)
_CATCH_UP = 2_000_000
"""Points of one asset, of all its sensors together, that it catches up with at most: the newest."""
_CALM = 0.0
"""The score of a sensor that only its asset has an opinion of, as long as no alarm of that is blamed on it."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a model of an asset says of one point, and who says it."""

    loaded: LoadedAsset
    word: Word
    threshold: float = 1.0
    """Of the series of the point, in parts of what its models say."""

    @property
    def score(self) -> float:
        """The score under that threshold."""
        return self.word.score / self.threshold

    @property
    def is_strange(self) -> bool:
        """Whether the point belongs to an alarm of the asset, under that threshold."""
        return self.word.is_strange and (self.threshold <= 1.0 or self.score > THRESHOLD)

    @property
    def explanation(self) -> Explanation:
        """Why the point belongs to an alarm of its asset."""
        loaded, causes = self.loaded, self.word.causes
        others = [loaded.model.sensors[cause.sensor] for cause in causes[1:]]
        part, asset = loaded.model.detector.part, loaded.asset
        if not causes:
            nothing = float("nan")
            text = asset_sentence(self.word.score, self.word.seen, nothing, nothing, nothing, asset, others)
            return Explanation(None, None, None, part, text)
        first = causes[0]
        band = (first.expected, first.lower, first.upper)
        text = asset_sentence(first.score, first.seen, *band, asset, others)
        return Explanation(*band, part, text)

    @property
    def relations(self) -> tuple[BrokenRelation, ...]:
        """The sensors that are off, the one that is blamed first."""
        names = self.loaded.model.sensors
        return tuple(
            BrokenRelation(names[one.sensor], one.score, one.seen, one.expected, one.lower, one.upper)
            for one in self.word.causes
        )


class WatchedBlock:
    """The scores of a block of points, and of readings before it that only now were judged.

    Attributes
    ----------
    points
        Those readings, then the points of the block; in order of time inside each series.
    score, alarm
        float64[n] and bool[n], of the models of the series and of their assets the larger.
    """

    def __init__(self, block: Block, points: Points, before: Sequence[tuple[int, Said]] = ()) -> None:
        first = sorted(before, key=lambda one: one[1].word.at_us)
        self._block, self._first = block, len(first)
        self._said = {at: said for at, (_, said) in enumerate(first)}
        words = [said.word for _, said in first]
        told = [said for _, said in first]
        earlier = Points(
            np.array([number for number, _ in first], np.int32),
            np.array([word.at_us for word in words], np.int64),
            np.array([word.seen for word in words], np.float64),
        )
        self.points = Points.concat([earlier, points]) if first else points
        scores = np.array([said.score for said in told], np.float64)
        self.score: FloatArray = np.concatenate([scores, block.score]) if first else block.score
        alarms = np.array([said.is_strange for said in told], np.bool_)
        self.alarm: NDArray[np.bool_] = np.concatenate([alarms, block.alarm]) if first else block.alarm

    def say(self, row: int, said: Said) -> None:
        """Let the asset say something of a point of the block."""
        at, score = row + self._first, said.score
        if said.is_strange:
            self.alarm[at] = True
        if not self.score[at] >= score:  # the one of the series is lower, or no opinion
            self.score[at] = score
            self._said[at] = said

    def calm(self, rows: IntArray, score: float) -> None:
        """Give a score to those of some points of the block of which no model of a series has an opinion."""
        at = rows + self._first
        silent = at[np.isnan(self.score[at])]
        self.score[silent] = score

    def hold_back(self, rows: IntArray) -> None:
        """Let points of the block, as far as they are calm, say nothing before their asset has judged them."""
        at = rows + self._first
        self.score[at[~self.alarm[at]]] = np.nan

    def raw(self) -> FloatArray:
        """Return what the models of the series say in parts of their own thresholds, float64[n]."""
        return np.concatenate([np.full(self._first, np.nan), self._block.raw()])

    def explain(self, index: int) -> Explanation:
        """Say why point `index` has its score."""
        said = self._said.get(index)
        return self._block.explain(index - self._first) if said is None else said.explanation

    def model(self, index: int) -> ModelRef:
        """Say which model scored point `index`."""
        said = self._said.get(index)
        return self._block.model(index - self._first) if said is None else said.loaded.ref

    def relations(self, index: int) -> tuple[BrokenRelation, ...]:
        """Return the sensors of an asset whose relation broke at point `index`, if an asset gave it its score."""
        said = self._said.get(index)
        return () if said is None else said.relations


class _Asset:
    """A model that follows, and the numbers of its sensors (-1 for one that is not known)."""

    def __init__(self, loaded: LoadedAsset, wait: int, known: Mapping[str, int]) -> None:
        assert loaded.model.pace is not None
        self.loaded = loaded
        self.following = Following(loaded.model, loaded.model.pace, wait)
        self.numbers = np.array([known.get(name, -1) for name in loaded.model.sensors], np.int64)
        self.is_taught = self.has_changed = False

    @property
    def name(self) -> str:
        """Under which name its state is stored."""
        return f"{self.loaded.deployment.key}/v{self.loaded.deployment.number}"

    @property
    def artefact(self) -> str:
        """Which artefact it stands behind."""
        return self.loaded.deployment.sha256


class AssetPupil:
    """A model of an asset that has to learn what was received since it was trained.

    Attributes
    ----------
    shares
        Its sensors, by number, and the time before which they know all points: the end of the training.
    """

    def __init__(self, asset: _Asset) -> None:
        self._asset = asset
        known = np.flatnonzero(asset.numbers >= 0)
        self._sensors = known[np.argsort(asset.numbers[known])]
        self._numbers = asset.numbers[self._sensors]
        self._most = max(_CATCH_UP // max(len(known), 1), 1)
        self._points: dict[int, tuple[IntArray, FloatArray]] = {}
        assert asset.loaded.model.pace is not None
        through = int(asset.loaded.model.pace.last_us.max(initial=-1))
        numbers = self._numbers.astype(np.int32)
        self.shares: Sequence[tuple[NumberArray, int]] = [(numbers, through + 1)] if len(numbers) else []

    def teach(self, numbers: NumberArray, timestamps: IntArray, values: FloatArray) -> None:
        """Take points of its sensors, in order of time inside each; the newest are kept until `done`."""
        places = self._sensors[np.searchsorted(self._numbers, numbers)]
        for sensor in np.unique(places).tolist():
            here = np.flatnonzero(places == sensor)[-self._most :]
            self._points[sensor] = (timestamps[here], values[here])

    def done(self) -> None:
        """Let it learn from all points in order of time, and note that it has caught up."""
        full = [stamps[0] for stamps, _ in self._points.values() if len(stamps) == self._most]
        since = max(full, default=0)
        sensors = [np.full(len(stamps), sensor, np.int64) for sensor, (stamps, _) in self._points.items()]
        if sensors:
            columns = [np.concatenate(parts) for parts in zip(*self._points.values(), strict=True)]
            at, stamps, values = np.concatenate(sensors), *columns
            order = np.lexsort((at, stamps))
            order = order[stamps[order] >= since]
            self._asset.following.follow(at[order], stamps[order], values[order])
        self._asset.is_taught = self._asset.has_changed = True


class Watching:
    """What the follower scores with: the models of series, and beside them those of assets."""

    def __init__(self, serving: Serving, catalogue: Catalogue, wait: int) -> None:
        self._serving = serving
        self._catalogue = catalogue
        self._wait = wait
        self._thresholds: FloatArray = np.ones(0)
        self._assets: dict[str, _Asset] = {}
        self._seen: Mapping[str, LoadedAsset] | None = None
        self._order: list[_Asset] = []
        self._place = np.full(1, -1, np.int64)
        self._sensor = np.zeros(1, np.int64)

    def watch_block(
        self, numbers: NumberArray, timestamps: IntArray, values: FloatArray, *, replayed: bool = False
    ) -> WatchedBlock:
        """Score n points, in order of time inside each series; `replayed` ones were scored and counted before."""
        block = self._serving.watch_block(numbers, timestamps, values, replayed=replayed)
        points = Points(numbers, timestamps, values)
        self._look()
        if not self._order:
            return WatchedBlock(block, points)
        inside = (numbers >= 0) & (numbers < len(self._place))
        places = np.where(inside, self._place[np.where(inside, numbers, 0)], -1)
        there = np.flatnonzero(places >= 0)
        there = there[np.argsort(places[there], kind="stable")]
        ends = np.searchsorted(places[there], np.arange(len(self._order) + 1)).tolist()
        told: list[tuple[_Asset, int, IntArray, list[Word]]] = []
        for place, asset in enumerate(self._order):
            rows = there[ends[place] : ends[place + 1]]
            if asset.is_taught and len(rows):
                blamed, asset.has_changed = asset.following.blamed, True
                at = (self._sensor[numbers[rows]], timestamps[rows], values[rows])
                told.append((asset, blamed, rows, asset.following.follow(*at)))
        before = [
            (int(asset.numbers[word.sensor]), self._said(asset, word))
            for asset, _, _, words in told
            for word in words
            if word.row < 0
        ]
        watched = WatchedBlock(block, points, before)
        for asset, blamed, rows, words in told:
            _judge(watched, points, asset, blamed, rows, [self._said(asset, word) for word in words])
        return watched

    def pupils(self) -> "list[Pupil | AssetPupil]":
        """Return the models that have to learn what came after their training."""
        if unknown := [name for name, one in self._assets.items() if not (one.numbers >= 0).any()]:
            self._assets = {name: one for name, one in self._assets.items() if name not in unknown}
            self._seen = None  # their sensors may have come since
        self._look()
        return [*self._serving.pupils(), *(AssetPupil(one) for one in self._order if not one.is_taught)]

    def states(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield the name of each model that learns, and its state if that changed since it was yielded last."""
        yield from self._serving.states()
        for asset in self._order:
            if asset.is_taught:
                has_changed, asset.has_changed = asset.has_changed, False
                yield asset.name, asset.following.to_bytes(asset.artefact) if has_changed else None

    def restore(self, states: Mapping[str, Callable[[], bytes]]) -> None:
        """Take back where models stood; one of an asset whose state is not there has to catch up."""
        self._serving.restore(states)
        self._assets, self._seen = {}, None
        self._look()
        for asset in self._order:
            kept = states.get(asset.name)
            asset.is_taught = kept is not None and _brought_back(asset, kept)

    def set_thresholds(self, thresholds: FloatArray) -> None:
        """Set the threshold of each series, by its number, in parts of its models' own; 1.0 from the end on."""
        self._thresholds = thresholds
        self._serving.set_thresholds(thresholds)

    def _said(self, asset: _Asset, word: Word) -> Said:
        number = int(asset.numbers[word.sensor])
        threshold = self._thresholds.item(number) if 0 <= number < len(self._thresholds) else 1.0
        return Said(asset.loaded, word, threshold)

    def _look(self) -> None:
        """Follow with the models that are in Production now; those that are there already go on."""
        loaded = self._serving.models.assets.loaded
        if loaded is self._seen:
            return
        followed = {name: one for name, one in loaded.items() if one.model.pace is not None}
        fresh = [one for name, one in followed.items() if not self._goes_on(name, one)]
        names = {sensor for one in fresh for sensor in one.model.sensors}
        known: Mapping[str, int] = self._catalogue.numbers(sorted(names)) if names else {}
        new = {one.asset: _Asset(one, self._wait, known) for one in fresh}
        self._assets = {name: new.get(name) or self._assets[name] for name in followed}
        self._order = sorted(self._assets.values(), key=lambda asset: asset.loaded.deployment.revision)
        highest = max((int(asset.numbers.max(initial=0)) for asset in self._order), default=0)
        self._place, self._sensor = np.full(highest + 1, -1, np.int64), np.zeros(highest + 1, np.int64)
        for place, asset in enumerate(self._order):  # a series is of one asset: that of the latest promotion
            there = np.flatnonzero(asset.numbers >= 0)
            self._place[asset.numbers[there]], self._sensor[asset.numbers[there]] = place, there
        self._seen = loaded

    def _goes_on(self, name: str, loaded: LoadedAsset) -> bool:
        there = self._assets.get(name)
        return there is not None and there.loaded is loaded


def _judge(
    watched: WatchedBlock, points: Points, asset: _Asset, before: int, rows: IntArray, told: Sequence[Said]
) -> None:
    """Let an asset say of its sensors' points in a block what it has to say.

    What is blamed is judged by the asset alone from the beginning of an alarm to its end: a calm point of it says
    nothing until then, else an anomaly would flicker whose sensor by itself is calm.
    """
    learnt, words = asset.following.model.ready, [said.word for said in told]
    numbers, stamps = points.series[rows], points.timestamps[rows]
    watched.calm(rows[np.isin(numbers, asset.numbers[learnt])], _CALM)
    for sensor in {before, asset.following.blamed, *(word.sensor for word in words)} - {-1}:
        about = [word.at_us for word in words if word.sensor == sensor]
        since = -1 if sensor == before else min(about, default=2**62)
        until = 2**62 if sensor == asset.following.blamed else max(about, default=-1)
        its = numbers == asset.numbers[sensor]
        watched.hold_back(rows[its & (stamps >= since) & (stamps <= until)])
    for said in told:
        if said.word.row >= 0:
            watched.say(int(rows[said.word.row]), said)


def _brought_back(asset: _Asset, kept: Callable[[], bytes]) -> bool:
    try:
        return asset.following.bring_back(kept(), asset.artefact)
    except Stale:  # nothing is wrong with it: whoever gives it back gives up
        raise
    except (AtalaiaError, OSError, ValueError) as error:
        _log.warning("state_not_read", model=asset.name, error=str(error)[:500])
        return False
