"""Which series of a fleet a new one is most like, as far as labels say."""

from collections.abc import Mapping, Sequence

from atalaia.core.points import IntArray

MOST_PEERS = 32
"""More say no more than these: medians are taken of them."""

LEAST_PEERS = 3
"""Fewer are no crowd: then those that agree in less are peers too."""

_METRIC = "__name__"
"""The label under which Prometheus sends what is measured; it says more than all others together."""


def peers_of(own: Mapping[str, str], members: Sequence[Mapping[str, str]], points: IntArray) -> list[int]:
    """Return the positions of the members that share the most labels with a series; of all, if none shares any.

    Parameters
    ----------
    own
        Labels of the series.
    members
        Labels of each member. One that only one series has is shared by nobody, and so never counts.
    points
        int64[m], how many points of each are known: where there are too many peers, those that are known best are
        taken.
    """
    shared = [_shared(own, labels) for labels in members]
    levels = sorted({level for level in shared if level > 0}, reverse=True)
    peers: list[int] = []
    for level in levels:
        peers += [position for position, agreed in enumerate(shared) if agreed == level]
        if len(peers) >= LEAST_PEERS:
            break
    if len(peers) < LEAST_PEERS:
        peers = list(range(len(members)))
    peers.sort(key=lambda position: (-shared[position], -int(points[position]), position))
    return sorted(peers[:MOST_PEERS])


def _shared(own: Mapping[str, str], other: Mapping[str, str]) -> int:
    alike = [name for name, value in own.items() if other.get(name) == value]
    return len(alike) + (len(own) if _METRIC in alike else 0)
