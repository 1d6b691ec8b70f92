"""Streaming models in memory: they learn from points as they arrive, and what they have learnt outlives the
process.

Their states are the only part of a model that is in no artefact. The follower stores them with its own memory,
under the name of model and version, and brings them back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from weakref import WeakValueDictionary

import numpy as np
import structlog

from atalaia.algorithms.detectors.protocol import Advanced, Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.streaming.columns import LAST
from atalaia.core.errors import AtalaiaError, Stale
from atalaia.core.models import Deployment
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.serving.cache import Loaded
from atalaia.serving.routing import Routes

_log = structlog.get_logger(__name__)


class Streams:
    """The streaming models that `routes` points to."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._kept: dict[str, Callable[[], bytes]] = {}
        self._live: WeakValueDictionary[str, FleetModel] = WeakValueDictionary()
        self._taught: set[str] = set()
        self._changed: set[str] = set()
        self._late: dict[str, set[str]] = {}

    def revived(self, deployment: Deployment, model: FleetModel) -> FleetModel:
        """Return a trained model with a state that can learn: what it has learnt if it is in memory, or was kept.

        Unless it answers already, it has to learn what it missed, see `untaught`.
        """
        name = name_of(deployment)
        live = self._live.get(name)
        if live is None or not _alike(live, model):
            known = _narrowed(live, model) or self._brought_back(name, model)
            live = self._live[name] = known or model.alive()
        if all(loaded.model is not live for loaded in self._models()):
            self._taught.discard(name)
        return live

    def advance(self, loaded: Loaded, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        """Score points by a streaming model, which learns from them."""
        self._changed.add(name_of(loaded.deployment))
        return _detector(loaded).advance(loaded.model.state, rows, timestamps, values)

    def has_caught_up(self, loaded: Loaded) -> bool:
        """Say whether a model knows all that came before the points that arrive: else they would leave a gap."""
        return name_of(loaded.deployment) in self._taught

    def untaught(self) -> Iterator[Loaded]:
        """Yield the models that have not learnt yet what came after their training."""
        return (loaded for loaded in self._models() if name_of(loaded.deployment) not in self._taught)

    def late(self) -> Iterator[tuple[Loaded, set[str]]]:
        """Yield the models that know all, and those of their series that they adopted and that do not yet."""
        for loaded in self._models():
            name = name_of(loaded.deployment)
            if name in self._taught and name in self._late:
                yield loaded, self._late[name]

    def taught(self, loaded: Loaded) -> None:
        """Note that a model has caught up, with all its series."""
        self._taught.add(name_of(loaded.deployment))
        self._late.pop(name_of(loaded.deployment), None)

    def exchanged(self, deployment: Deployment, now: FleetModel, late: Set[str]) -> None:
        """Note that a model goes on as another, which holds other series; `late` ones do not know yet what came."""
        name = name_of(deployment)
        self._live[name] = now
        self._changed.add(name)
        still = {*late, *self._late.pop(name, ())}.intersection(now.series_ids)
        if still:
            self._late[name] = still

    def states(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield the name of each model, and its state if that changed since it was yielded last.

        One that has not caught up is left out: with a gap in what it knows, whoever takes its state back would
        take it for whole. What is noted of versions that are gone is forgotten.
        """
        models = {name_of(loaded.deployment): loaded.model for loaded in self._models()}
        self._taught.intersection_update(models)  # in place: another thread may take one out meanwhile
        self._late = {name: late for name, late in self._late.items() if name in models}
        whole = self._taught - self._late.keys()
        changed = self._changed & whole
        self._changed = self._changed.intersection(models) - changed
        for name, model in models.items():
            if name in whole:
                yield name, model.to_bytes() if name in changed else None

    def restore(self, states: Mapping[str, Callable[[], bytes]]) -> list[tuple[Loaded, FleetModel]]:
        """Take back states that were kept; models that are loaded later find theirs too.

        Returns models with those that they have to go on as: they had adopted other series.
        """
        self._kept = dict(states)
        self._taught = set()
        self._changed = set()
        self._late = {}
        others: list[tuple[Loaded, FleetModel]] = []
        for loaded in self._models():
            known = self._brought_back(name_of(loaded.deployment), loaded.model)
            if known is None:
                continue
            self.taught(loaded)
            if known.series_ids != loaded.model.series_ids:
                others.append((loaded, known))
                continue
            for name, array in known.state.items():
                loaded.model.state[name][...] = array
        return others

    def _brought_back(self, name: str, model: FleetModel) -> FleetModel | None:
        """Return a model as it was kept, with a state that can learn; None if it was not."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        try:
            known = FleetModel.from_bytes(kept())
        except Stale:  # nothing is wrong with it: whoever gives it back gives up
            raise
        except (AtalaiaError, OSError) as error:
            _log.warning("state_not_read", model=name, error=str(error)[:500])
            return None
        return known.alive() if _alike(known, model) else None

    def _models(self) -> Iterable[Loaded]:
        return [loaded for loaded in self._routes.models.values() if loaded.is_streaming]


class Pupil:
    """A streaming model that has to learn what was received since it was trained.

    Attributes
    ----------
    numbers
        Its series, as far as they have a number, sorted.
    shares
        The same series in shares, and the time before which those of a share know all points. Those of which it
        knows no point are apart: for their sake nobody shall read the whole history of the others.

    Parameters
    ----------
    only
        The series that have to learn, where the others know all.
    """

    def __init__(self, loaded: Loaded, streams: Streams, routes: Routes, only: Set[str] | None = None) -> None:
        self._loaded = loaded
        self._streams = streams
        known = np.flatnonzero(routes.columns.by_number >= 0)
        number_of = np.full(len(routes.names), -1, np.int64)
        number_of[routes.columns.by_number[known]] = known
        of_row = number_of[routes.indexes(loaded.model.series_ids)]
        if only is not None:
            of_row[[name not in only for name in loaded.model.series_ids]] = -1
        rows = np.flatnonzero(of_row >= 0)
        rows = rows[np.argsort(of_row[rows])]
        self._rows = rows
        self.numbers = of_row[rows].astype(np.int32)
        state = loaded.model.state
        newest, knows = state["times"][rows, LAST], state["points"][rows] > 0
        shares = (knows, int(newest.min(where=knows, initial=2**62)) + 1), (~knows, 0)
        self.shares: Sequence[tuple[NumberArray, int]] = [
            (self.numbers[those], since_us) for those, since_us in shares if those.any()
        ]

    def teach(self, numbers: NumberArray, timestamps: IntArray, values: FloatArray) -> None:
        """Let it learn from points of its series, in order of time inside each."""
        rows = self._rows[np.searchsorted(self.numbers, numbers)]
        self._streams.advance(self._loaded, rows, timestamps, values)

    def done(self) -> None:
        """Note that it has caught up."""
        self._streams.taught(self._loaded)


def _detector(loaded: Loaded) -> Streaming:
    detector = loaded.model.detector
    assert isinstance(detector, Streaming), "only streaming models learn"
    return detector


def _alike(one: FleetModel, other: FleetModel) -> bool:
    """Return whether two models are of the same training, whatever they have adopted since."""
    members = one.series_ids[: one.members]
    return members == other.series_ids[: other.members] and one.detector == other.detector


def _narrowed(live: FleetModel | None, model: FleetModel) -> FleetModel | None:
    """Return what a model has learnt of those series that are left, when an erasure took others out of it."""
    if live is None or live.detector != model.detector:
        return None
    gone = set(live.series_ids[: live.members]).difference(model.series_ids)
    rest = live.without(gone) if gone and len(gone) < len(live.series_ids) else None
    return rest if rest is not None and _alike(rest, model) else None


def name_of(deployment: Deployment) -> str:
    """Return the name under which the state of a version is kept."""
    return f"{deployment.key}/v{deployment.number}"
