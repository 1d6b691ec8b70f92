"""Assets: series that are sensors of one thing, told by the value of a label."""

from heapq import nsmallest

from atalaia.signals.service import Signals
from atalaia.signals.store import catalogue


class Assets:
    """Reads from the labels of series which assets there are, and of what."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._label = signals.settings.asset_label

    def name(self, asset: str) -> str:
        """Return the name under which an asset may be kept: as any value of its label."""
        return self._signals.privacy.label(self._label, asset) or asset

    def sensors(self, asset: str, most: int) -> list[str]:
        """Return the ids of the series of an asset, sorted, at most so many."""
        with self._signals.database.read() as session:
            numbers: list[int] = []
            for known in self._signals.privacy.known_as(asset):
                numbers += catalogue.labelled(session, self._label, known, most)
            return sorted(catalogue.names_of(session, numbers).values())[:most]

    def assets(self, after: str | None, limit: int) -> list[tuple[str, int]]:
        """Return assets in order of name from behind `after`, and of how many series each is."""
        with self._signals.database.read() as session:
            found = catalogue.values_of(session, self._label)
        behind = ((name, count) for name, count in found.items() if after is None or name > after)
        return nsmallest(limit, behind)
