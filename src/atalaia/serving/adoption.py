"""Series that join a fleet after its streaming model was trained: the model in memory grows by a row for each.

Whoever follows the points looks for them before each round, so that a series is adopted before its first points are
scored, or soon after. What it begins with depends on the artefact and on labels alone, not on when it comes; the
points that came before are taught to it as to any model that is new. So a process that dies in between changes
nothing: the next one adopts the series again, or finds it in the stored state. Others find it there too.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Protocol

import structlog

from atalaia.algorithms.adoption import adopting
from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import AtalaiaError
from atalaia.core.models import Deployment, Scope
from atalaia.serving.cache import Loaded
from atalaia.serving.peers import peers_of
from atalaia.serving.ports import Catalogue
from atalaia.serving.routing import Routes
from atalaia.serving.streams import Pupil, Streams, name_of

_LOOK_AGAIN_S = 10.0
"""How often one of the fleets is looked through for older series that were put into it: most are new ones."""

_NOBODY = 1 << 31
"""No series has so high a number."""

_log = structlog.get_logger(__name__)


class Exchange(Protocol):
    """Lets loaded models go on as others, which hold other series, all in one step."""

    def __call__(self, pairs: Sequence[tuple[Loaded, FleetModel]], late: Set[str] = frozenset()) -> None:
        """Do so; `late` series have still to learn what came before."""
        ...


class Adoption:
    """Adopts series.

    Parameters
    ----------
    trained
        Returns a version as its training left it, None when it cannot be read.
    most
        Series that one model adopts.
    """

    def __init__(
        self,
        streams: Streams,
        routes: Routes,
        catalogue: Catalogue,
        trained: Callable[[Deployment], FleetModel | None],
        exchange: Exchange,
        most: int,
    ) -> None:
        self._streams = streams
        self._routes = routes
        self._catalogue = catalogue
        self._trained = trained
        self._exchange = exchange
        self._most = most
        self._highest = 0
        self._looked: dict[str, float] = {}
        self._look_at = 0.0

    def pupils(self) -> list[Pupil]:
        """Adopt who is new; return the models, or their new series, that have to learn what came before."""
        try:
            self._adopt()
        except AtalaiaError as error:  # later, then
            _log.warning("newcomers_not_read", error=str(error)[:500])
        streams, routes = self._streams, self._routes
        late = [Pupil(loaded, streams, routes, only) for loaded, only in streams.late()]
        for pupil in late:
            if not pupil.shares:  # there is nothing to learn of it any more
                pupil.done()
        return [*(Pupil(loaded, streams, routes) for loaded in streams.untaught()), *late]

    def restore(self, states: Mapping[str, Callable[[], bytes]]) -> None:
        """Take back states that were kept, with the series that they had adopted; the others are adopted anew."""
        self._looked = {}
        self._exchange(self._streams.restore(states))

    def forget(self, known: Mapping[str, int]) -> None:
        """Let go of adopted series that are not known any more."""
        left = [
            (loaded, loaded.model.without(gone))
            for loaded in self._loaded()
            if (gone := [name for name in loaded.model.series_ids[loaded.model.members :] if name not in known])
        ]
        self._exchange(left)

    def adopted(self, series_id: str, version: str) -> FleetModel | None:
        """Return the model that has adopted a series, as it stands now; None if that version has not.

        Where the version is not in memory, since this process does not serve, it is what was stored last.
        """
        here = (one.model for one in self._routes.models.values() if name_of(one.deployment) == version)
        model = next(here, None) or self._stored(version)
        row = None if model is None else model.row_of(series_id)
        return None if model is None or row is None or model.peers_of(row) is None else model

    def _stored(self, version: str) -> FleetModel | None:
        try:
            read = self._catalogue.states().get(version)
            return None if read is None else FleetModel.from_bytes(read())
        except AtalaiaError as error:
            _log.warning("state_not_read", model=version, error=str(error)[:500])
            return None

    def count(self) -> float:
        """Return how many series the models in Production have adopted."""
        serving = {id(loaded): loaded for loaded in self._loaded() if loaded.stage == "Production"}
        return float(sum(len(loaded.model.adopted) for loaded in serving.values()))

    def _loaded(self) -> list[Loaded]:
        fleets = [one for one in self._routes.models.values() if one.deployment.key.scope is Scope.FLEET]
        return [one for one in fleets if hasattr(one.model.detector, "adopt")]  # as `Loaded.is_streaming` does

    def _adopt(self) -> None:
        loaded = self._loaded() if self._most else []
        if not loaded:
            return
        by_fleet: dict[str, list[Loaded]] = {}
        for one in loaded:
            by_fleet.setdefault(one.deployment.key.name, []).append(one)
        highest, fresh = self._catalogue.joined(self._highest if self._looked else _NOBODY)
        joined: dict[str, dict[str, int]] = {}
        for number, series_id, fleet in fresh:
            joined.setdefault(fleet, {})[series_id] = number
        for fleet in self._unlooked(loaded):
            joined[fleet] = {name: number for number, name, _ in self._catalogue.joined(0, fleet)[1]}
        for fleet, newcomers in joined.items():
            for one in by_fleet.get(fleet, []):
                self._take(one, newcomers)
        self._highest = highest

    def _unlooked(self, loaded: Sequence[Loaded]) -> list[str]:
        """Return the fleets to be looked through: of models that are new here, and now and then one more."""
        now = time.monotonic()
        names = {name_of(one.deployment): one.deployment.key.name for one in loaded}
        wanted = [name for name in names if name not in self._looked]
        if not wanted and now >= self._look_at:
            wanted = [min(names, key=lambda name: self._looked[name])]
        if wanted:
            self._look_at = now + _LOOK_AGAIN_S
        self._looked = {name: self._looked.get(name, now) for name in names} | dict.fromkeys(wanted, now)
        return list(dict.fromkeys(names[name] for name in wanted))

    def _take(self, loaded: Loaded, joined: Mapping[str, int]) -> None:
        """Let a model adopt those of some series that it does not know."""
        model = loaded.model
        fresh = sorted((number, name) for name, number in joined.items() if model.row_of(name) is None)
        room = max(self._most - len(model.adopted), 0)
        if len(fresh) > room > 0:  # once, not whenever it is looked again
            told = {"model": name_of(loaded.deployment), "left_out": len(fresh) - room}
            _log.warning("too_many_newcomers", most=self._most, **told)
        fresh = fresh[:room]
        if not fresh:
            return
        trained = self._trained(loaded.deployment)
        if trained is None or trained.series_ids != model.series_ids[: model.members]:
            return
        members = trained.series_ids
        labels = self._catalogue.labels([*members, *(name for _, name in fresh)])
        known = [labels.get(name, {}) for name in members]
        points = trained.state["points"]
        peers = {name: peers_of(labels.get(name, {}), known, points) for _, name in fresh}
        self._routes.number({name: number for number, name in fresh})
        self._exchange([(loaded, adopting(model, peers, trained))], peers.keys())
        _log.info("series_adopted", model=name_of(loaded.deployment), series=len(fresh), first=fresh[0][1])
