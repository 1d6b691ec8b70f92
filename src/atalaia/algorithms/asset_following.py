"""A model of an asset that follows the readings of its sensors as they arrive."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.artifacts import Member, pack, unpack
from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.assets.gathering import Gathered, Waiting, gather
from atalaia.algorithms.assets.moments import Pace
from atalaia.algorithms.assets.protocol import AssetScores, Deviation
from atalaia.algorithms.assets.telling import Told, advance_and_tell, calm
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.scores import THRESHOLD

FORMAT = "atalaia.asset-following"
FORMAT_VERSION = 1
_MODEL, _WAITING = "model_", "waiting_"


@dataclass(frozen=True, slots=True)
class Word:
    """What an alarm of an asset says of one reading of the sensor that it is blamed on.

    Attributes
    ----------
    sensor
        Its position.
    row
        Where the reading stood among those given last; -1 when it came before them.
    at_us, seen
        When it was, and what it showed.
    score
        Of the asset at that moment.
    is_strange
        Whether the sensor is off at it; if not, the alarm is over, or goes on without it.
    causes
        The sensors that were off, this one first; empty when nobody looked, see `telling`.
    """

    sensor: int
    row: int
    at_us: int
    seen: float
    score: float
    is_strange: bool
    causes: tuple[Deviation, ...]


class Following:
    """A trained model on its way along a stream.

    Attributes
    ----------
    model
        The model, with a state of its own that moves.
    """

    def __init__(self, trained: AssetModel, pace: Pace, wait: int) -> None:
        self._trained = trained
        self._pace = pace
        self._wait = wait
        self._waiting = Waiting.after(pace, wait)
        self._stand = calm()
        self.model = trained.alive()

    @property
    def blamed(self) -> int:
        """The sensor that the alarm of now is blamed on; -1 for none."""
        return int(self._stand[1])

    def follow(self, sensors: IntArray, timestamps: IntArray, values: FloatArray) -> list[Word]:
        """Take readings, in the order of their arrival; return what is said of those that an alarm is about."""
        words: list[Word] = []
        for moments in gather(self._waiting, self._pace, self._wait, sensors, timestamps, values):
            blamed = self.blamed
            scores, told = advance_and_tell(self.model.detector, self.model.state, moments.values, self._stand)
            if told or blamed >= 0:
                words += _words(moments, scores, told, blamed)
        return words

    def to_bytes(self, artefact: str) -> bytes:
        """Return where it stands, behind the model of an artefact; what that holds anyway is left out."""
        header = {"format": FORMAT, "version": FORMAT_VERSION, "artefact": artefact, "wait": self._wait}
        arrays: dict[str, NDArray[np.generic]] = {"stand": self._stand}
        arrays |= {_WAITING + name: array for name, array in self._waiting._asdict().items()}
        for name, array in self.model.state.items():
            if array.tobytes() != self._trained.state[name].tobytes():
                arrays[_MODEL + name] = array
        return pack(header, arrays)

    def bring_back(self, data: bytes, artefact: str) -> bool:
        """Stand where `to_bytes` wrote, if that is behind this very artefact; say whether it is.

        Raises
        ------
        ValueError
            When `data` is nothing that `to_bytes` writes.
        """
        header, members = unpack(data)
        wanted = {"format": FORMAT, "version": FORMAT_VERSION, "artefact": artefact, "wait": self._wait}
        if header != wanted:
            return False
        arrays: dict[str, NDArray[np.generic]] = {"stand": self._stand}
        arrays |= {_WAITING + name: array for name, array in self._waiting._asdict().items()}
        state = {name: array.copy() for name, array in self._trained.state.items()}
        arrays |= {_MODEL + name: array for name, array in state.items()}
        read = {name: _as(member, arrays) for name, member in members.items()}
        if {name for name in arrays if not name.startswith(_MODEL)} - set(read):
            raise ValueError("it does not say where the asset stands")
        for name, array in read.items():
            arrays[name][...] = array
        self.model.state.update(state)
        return True


def _as(member: Member, arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.generic]:
    like = arrays.get(member.name)
    if like is None:
        raise ValueError(f"array {member.name[:40]!r} is none of a model that follows")
    return member.array(like.dtype.str, like.shape)


def _words(moments: Gathered, scores: AssetScores, told: dict[int, Told], blamed: int) -> Iterator[Word]:
    for at, score in enumerate(scores.score.tolist()):
        one = told.get(at)
        if one is not None:
            blamed = one.sensor
        if blamed < 0 or score != score:
            continue
        is_strange = one is not None and one.is_off
        if moments.stamps[at, blamed] >= 0:
            yield Word(
                blamed,
                int(moments.rows[at, blamed]),
                int(moments.stamps[at, blamed]),
                float(moments.seen[at, blamed]),
                one.score if one is not None and is_strange else min(score, THRESHOLD),
                is_strange,
                one.causes if one is not None and is_strange else (),
            )
        if one is None:
            blamed = -1
