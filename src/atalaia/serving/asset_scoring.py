"""Scores of moments of an asset on request: nothing is kept, and nothing learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atalaia.algorithms.assets.protocol import Deviation
from atalaia.algorithms.assets.telling import advance_and_tell, calm
from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import FloatArray
from atalaia.core.scores import THRESHOLD
from atalaia.serving.assets import LoadedAsset

_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class MomentScored:
    """What is said of one moment: its score (None is no opinion), the sensors that deviate, those not read."""

    score: float | None
    causes: tuple[Deviation, ...]
    missing: tuple[str, ...]

    @property
    def is_anomaly(self) -> bool:
        """Whether the score exceeds the threshold in force."""
        return self.score is not None and self.score > THRESHOLD


def table_of(loaded: LoadedAsset, moments: Sequence[Mapping[str, float | None]], single: bool) -> FloatArray:
    """Return readings by name as float64[n, k], NaN where a sensor was not read.

    Raises
    ------
    Invalid
        ``unknown_sensor`` when one is none of the model; the faults say where it stands.
    """
    sensors = loaded.model.sensors
    place = {name: i for i, name in enumerate(sensors)}
    values, faults = np.full((len(moments), len(sensors)), np.nan), list[Fault]()
    for row, moment in enumerate(moments):
        for name, value in moment.items():
            at = place.get(name)
            if at is None:
                before = "" if single else f"/moments/{row}"
                pointer = f"{before}/values/{name.replace('~', '~0').replace('/', '~1')}"
                faults.append(Fault(pointer, f"{name[:80]!r} is no sensor of the model"))
            elif value is not None:
                values[row, at] = value
    if faults:
        shown, more = faults[:_MOST_FAULTS], len(faults) - 1
        detail = f"{shown[0].pointer[:200]}: {shown[0].message}{f' (and {more} more)' if more else ''}"
        raise Invalid("unknown_sensor", f"{detail}; `atalaia assets show` names them", faults=shown)
    return values


def score_moments(loaded: LoadedAsset, values: FloatArray) -> list[MomentScored]:
    """Return what the model says of moments that follow nothing, as if the asset had just been trained."""
    model = loaded.model.alive()
    scores, told = advance_and_tell(model.detector, model.state, values, calm())
    causes = {at: one.causes for at, one in told.items()}
    if len(values):  # as far as it goes: a lone moment says little, and more than nothing
        causes[len(values) - 1] = model.detector.explain(model.state)
    absent = np.isnan(values)
    return [
        MomentScored(
            None if np.isnan(score) else float(score),
            causes.get(at, ()),
            tuple(model.sensors[i] for i in np.flatnonzero(absent[at]).tolist()),
        )
        for at, score in enumerate(scores.score.tolist())
    ]
