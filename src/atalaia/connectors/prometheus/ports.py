"""What remote write needs from others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from atalaia.core.points import NumberArray, Points


class Sink(Protocol):
    """Keeps points."""

    async def keep_points(self, points: Points) -> Mapping[str, Any]:
        """Return once the points, of known series, are durable."""
        ...

    async def keep_labelled(
        self,
        series: Mapping[str, Mapping[str, str]],
        points: Callable[[Sequence[int]], Points],
        learn: Callable[[NumberArray], None],
        nbytes: int,
    ) -> Mapping[str, Any]:
        """Find or make series, keep the points that follow from their numbers, and return once both are durable.

        Parameters
        ----------
        series
            Ids and labels of the series.
        points
            Takes the number of each of them, in their order; called while the transaction is open.
        learn
            Called with the same numbers once they are durable.
        nbytes
            Memory that waits with it.
        """
        ...
