"""Who calls whom: what can be reached from where, along which path, and what its callees leave of a score."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

LONGEST_PATH = 32
"""Nodes of a path that are shown."""
_Names = Mapping[str, tuple[str, ...]]


class Calls:
    """A graph of services or assets. An edge leads from what depends to what it depends on.

    It may have circles, parts that hang together with nothing, and nodes that nobody measures.
    """

    def __init__(self, edges: Iterable[tuple[str, str]]) -> None:
        callees: dict[str, dict[str, None]] = {}
        for caller, callee in edges:
            callees.setdefault(caller, {})
            callees.setdefault(callee, {})
            if caller != callee:
                callees[caller][callee] = None
        self._callees: _Names = {name: tuple(found) for name, found in callees.items()}
        self._circle = _circles(self._callees)

    def __contains__(self, name: object) -> bool:
        return name in self._callees

    def __len__(self) -> int:
        return len(self._callees)

    @property
    def names(self) -> Sequence[str]:
        """All nodes, in the order in which edges name them."""
        return tuple(self._callees)

    def callees(self, name: str) -> tuple[str, ...]:
        """Return what a node depends on directly; nothing for one that is not there."""
        return self._callees.get(name, ())

    @property
    def entries(self) -> frozenset[str]:
        """The nodes that nobody depends on."""
        return frozenset(self._callees) - {callee for found in self._callees.values() for callee in found}

    def reached(self, start: str) -> dict[str, str | None]:
        """Return what can be reached from `start`, and the node before each on a shortest path."""
        if start not in self._callees:
            return {}
        came: dict[str, str | None] = {start: None}
        waiting = deque([start])
        while waiting:
            name = waiting.popleft()
            for callee in self._callees[name]:
                if callee not in came:
                    came[callee] = name
                    waiting.append(callee)
        return came

    def left_by_callees(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return what of each node's score is more than any of its callees has; nodes of one circle count as one.

        A node whose callee is as strange as itself has caught it from there; what remains is its own. Nodes without
        a score let through what their callees have.
        """
        members: dict[int, list[str]] = {}
        for name in self._callees:
            members.setdefault(self._circle[name], []).append(name)
        left = dict(scores)
        of_circle: dict[int, float] = {}
        for circle in sorted(members):  # circles are numbered from the callees up
            names = members[circle]
            outside = {self._circle[callee] for name in names for callee in self._callees[name]} - {circle}
            below = max((of_circle[other] for other in outside), default=0.0)
            of_circle[circle] = max((scores[name] for name in names if name in scores), default=below)
            for name in names:
                if name in left:
                    left[name] = max(left[name] - below, 0.0)
        return left


def path_to(name: str, reached: Mapping[str, str | None], start: str) -> tuple[str, ...]:
    """Return the path from `start` to a node, both included; empty where it was not reached.

    Of one with more than `LONGEST_PATH` nodes only the end remains, behind `start`.
    """
    if name not in reached:
        return ()
    path = [name]
    while (before := reached[path[-1]]) is not None:
        if len(path) == LONGEST_PATH - 1:
            path.append(start)
            break
        path.append(before)
    return tuple(reversed(path))


def _circles(callees: _Names) -> dict[str, int]:
    """Return a number for each node that those share which reach each other (Tarjan, without recursion)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    circle: dict[str, int] = {}
    open_nodes: list[str] = []
    for root in callees:
        if root in order:
            continue
        walk: list[tuple[str, int]] = [(root, 0)]
        while walk:
            name, done = walk.pop()
            if done == 0:
                order[name] = low[name] = len(order)
                open_nodes.append(name)
            below = callees[name]
            if done:
                low[name] = min(low[name], low[below[done - 1]])
            while done < len(below):
                callee = below[done]
                done += 1
                if callee not in order:
                    walk += [(name, done), (callee, 0)]
                    break
                if callee not in circle:
                    low[name] = min(low[name], order[callee])
            else:
                if low[name] == order[name]:
                    _close(name, open_nodes, circle)
    return circle


def _close(name: str, open_nodes: list[str], circle: dict[str, int]) -> None:
    number = len(circle)
    while True:
        member = open_nodes.pop()
        circle[member] = number
        if member == name:
            return
