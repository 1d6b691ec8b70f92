"""What a model says of a stretch of history of one series; nothing is counted, and nothing is learnt."""

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.explaining.replaying import replay
from atalaia.core.errors import Unavailable
from atalaia.core.models import Deployment, ModelKey, Scope, Stage
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.scores import THRESHOLD, Confidence, Explanation, ModelRef
from atalaia.serving.cache import Loaded
from atalaia.serving.loading import Models
from atalaia.serving.streams import name_of
from atalaia.serving.thresholds import alarm_under, moved


class Judged:
    """What was said of n points.

    Attributes
    ----------
    score
        float64[n], 1.0 is the threshold in force, NaN is no opinion.
    alarm
        bool[n], whether the series is in alarm after each point.
    learnt, needed
        Points that the model has learnt of the series, and those that it needs to have an opinion.
    is_replayed
        Whether the model learns as it goes, so that it was led over the points once more.
    is_accepted
        Whether the newest alarm has lasted for so long that it is learnt as the new normal.
    """

    def __init__(
        self, loaded: Loaded, row: int, at: tuple[IntArray, FloatArray], learn: int, threshold: float
    ) -> None:
        model = loaded.model
        self._model, self._values = model, at[1]
        self._told = replay(model, row, *at, learn)
        self._scores = moved(self._told.scores, at[1], np.full(len(at[1]), threshold))
        self.score: FloatArray = self._scores.score
        is_over = self.score > THRESHOLD
        self.alarm: NDArray[np.bool_] = alarm_under(self._told.alarm, is_over, np.full(len(is_over), threshold))
        self.model: ModelRef = loaded.ref
        self.confidence: Confidence = model.confidence(row)
        self.learnt = int(model.state["points"][row])
        self.needed: int = model.detector.min_points
        self.is_replayed: bool = loaded.is_streaming
        self.is_accepted: bool = self._told.is_accepted

    def explain(self, index: int) -> Explanation:
        """Say why point `index` has its score."""
        return self._model.explain(self._scores, index, float(self._values[index]))


class Judge:
    """Finds the model of a series, loading it if this process does not serve it, and asks it."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def judge(
        self,
        series_id: str,
        fleet_id: str | None,
        timestamps: IntArray,
        values: FloatArray,
        learn: int,
        threshold: float,
    ) -> Judged | None:
        """Return what the model in Production says of points of a series in order of time; None without one.

        Parameters
        ----------
        learn
            A model that learns as it goes learns so many of the points before it is asked.
        threshold
            The one in force, in parts of the model's own.

        Raises
        ------
        Unavailable
            ``model_not_loaded`` when there is one that cannot be loaded.
        """
        found = self._models.find(series_id) or self._loaded(series_id, fleet_id)
        return None if found is None else Judged(*found, (timestamps, values), learn, threshold)

    def _loaded(self, series_id: str, fleet_id: str | None) -> tuple[Loaded, int] | None:
        """Load a model for this question alone: processes that only answer the API serve none."""
        keys = [ModelKey(Scope.SERIES, series_id), *([ModelKey(Scope.FLEET, fleet_id)] if fleet_id else [])]
        deployed = {one.key: one for one in self._models.deployments() if one.stage is Stage.PRODUCTION}
        for key in keys:
            if key in deployed:
                loaded = self._load(deployed[key])
                row = loaded.model.row_of(series_id)
                if row is None:  # it may have joined since the training
                    grown = self._models.adoption.adopted(series_id, name_of(loaded.deployment))
                    loaded = loaded if grown is None else Loaded(loaded.deployment, grown, loaded.source)
                    row = loaded.model.row_of(series_id)
                if row is not None:
                    return loaded, row
        return None

    def _load(self, deployment: Deployment) -> Loaded:
        loaded = None if self._models.failed_lately(deployment) else self._models.load(deployment)
        if loaded is None:
            detail = f"the model {deployment.key} cannot be loaded; `atalaia doctor` says more"
            raise Unavailable("model_not_loaded", detail, retry_after_s=10)
        return loaded
