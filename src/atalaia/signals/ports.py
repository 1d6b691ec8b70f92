"""What signals needs from others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from numpy import bool_
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, IntArray, NumberArray, Points
from atalaia.core.scores import BrokenRelation, Confidence, Explanation, ModelRef


class ScoredBlock(Protocol):
    """The scores of a block of points, and why."""

    points: Points
    """What is scored: the block, and before it points of earlier blocks that were judged only now, once more."""
    score: FloatArray
    """float64[n], NaN where no model is in Production."""
    alarm: NDArray[bool_]
    """bool[n], whether each point belongs to an anomaly."""

    def raw(self) -> FloatArray:
        """Return the scores in parts of the detectors' own thresholds, float64[n]."""
        ...

    def explain(self, index: int) -> Explanation:
        """Say why point `index` has its score."""
        ...

    def model(self, index: int) -> ModelRef:
        """Say which model scored point `index`."""
        ...

    def relations(self, index: int) -> Sequence[BrokenRelation]:
        """Return the sensors of an asset whose relation broke at point `index`, if that gave it its score."""
        ...


class Pupil(Protocol):
    """A streaming model that is new here, and has to learn what was received since it was trained."""

    shares: Sequence[tuple[NumberArray, int]]
    """Its series, sorted, in shares: of each the numbers, and the time before which they know all points."""

    def teach(self, numbers: NumberArray, timestamps: IntArray, values: FloatArray) -> None:
        """Let it learn from points of its series, in order of time inside each."""
        ...

    def done(self) -> None:
        """Note that it has caught up."""
        ...


class Scorer(Protocol):
    """Scores points with the models in Production, and lets streaming models learn from them."""

    def watch_block(
        self, numbers: NumberArray, timestamps: IntArray, values: FloatArray, *, replayed: bool = False
    ) -> ScoredBlock:
        """Score n points, in order of time inside each series; `replayed` ones were scored and counted before."""
        ...

    def pupils(self) -> Sequence[Pupil]:
        """Return the streaming models that have to learn what came after their training."""
        ...

    def states(self) -> Iterable[tuple[str, bytes | None]]:
        """Yield the name of each streaming model that has caught up, and its state if that changed since."""
        ...

    def restore(self, states: Mapping[str, Callable[[], bytes]]) -> None:
        """Take back what streaming models had learnt; those that come into memory later find it too."""
        ...

    def set_thresholds(self, thresholds: FloatArray) -> None:
        """Set the threshold of each series, by its number, in parts of its detector's own; 1.0 from the end on."""
        ...


class Judgement(Protocol):
    """What a model says of n points of one series, each as the series stood before it."""

    score: FloatArray
    """float64[n], NaN is no opinion."""
    alarm: NDArray[bool_]
    """bool[n], whether the series is in alarm after each point."""
    model: ModelRef
    confidence: Confidence
    learnt: int
    """Points of the series that the model has learnt."""
    needed: int
    """Points that it needs to have an opinion."""
    is_replayed: bool
    """Whether it learns as it goes, and was led over the points once more."""
    is_accepted: bool
    """Whether the newest alarm lasted for so long that it is learnt as the new normal."""

    def explain(self, index: int) -> Explanation:
        """Say why point `index` has its score."""
        ...


class Judge(Protocol):
    """Says what the model of a series thinks of its history, without counting or learning."""

    def judge(
        self,
        series_id: str,
        fleet_id: str | None,
        timestamps: IntArray,
        values: FloatArray,
        learn: int,
        threshold: float,
    ) -> Judgement | None:
        """Return what the model in Production says, None without one; `threshold` in parts of the model's own.

        Raises
        ------
        Unavailable
            When there is one that cannot be loaded.
        """
        ...
