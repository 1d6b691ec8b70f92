"""Comparisons of detectors on folders of labelled data: reads, runs a protocol, and tells all in one object."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from atalaia.algorithms.evaluation.asset import Asset, run_asset
from atalaia.algorithms.evaluation.cause import run_cause
from atalaia.algorithms.evaluation.contest import Judge, Retrospect, fleet, networks, strong
from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.algorithms.evaluation.online import run_online
from atalaia.algorithms.evaluation.outcomes import Figures, Outcome
from atalaia.algorithms.evaluation.peers.causal import CAUSAL_PEERS
from atalaia.algorithms.evaluation.peers.libraries import causal_libraries, whole_peers
from atalaia.algorithms.evaluation.volume import vus_pr
from atalaia.algorithms.evaluation.whole import MOST_POINTS, run_whole
from atalaia.algorithms.hindsight import hindsight
from atalaia.connectors.labelled.cases import read_all
from atalaia.connectors.labelled.series import find_files, read_series, set_name
from atalaia.core.errors import Invalid

Progress = Callable[[str, str], None]
"""Told the contestant and the series that come next."""


class Protocol(StrEnum):
    """How detectors are compared."""

    WHOLE = "whole"
    ONLINE = "online"
    ASSET = "asset"
    CAUSE = "cause"


def protocol_of(name: str) -> Protocol:
    """Return the protocol that is called `name`.

    Raises
    ------
    Invalid
        ``unknown_protocol`` if none is.
    """
    try:
        return Protocol(name)
    except ValueError as reason:
        known = ", ".join(protocol.value for protocol in Protocol)
        raise Invalid("unknown_protocol", f"{name[:40]!r} is not a protocol; choose one of {known}") from reason


def compare(
    folders: Sequence[Path],
    protocol: Protocol,
    *,
    per_week: float = 1.0,
    peers: bool = True,
    most_points: int = MOST_POINTS,
    progress: Progress = lambda name, series: None,
) -> dict[str, Any]:
    """Return the figures of our detectors and of their peers over all series of `folders`.

    Parameters
    ----------
    per_week
        False alarms per series and week that are allowed; for ``online``.
    most_points
        Longer series are left out; for ``whole``.

    Returns
    -------
    dict
        JSON values: ``protocol``, ``data`` (names of sets), ``series`` (how many), ``left_out`` (name and reason),
        and ``detectors``: a list of figures with a ``name`` each, and the same per series under ``per_series``.

    Raises
    ------
    Invalid
        ``unreadable_data`` if a folder or a file cannot be used.
    """
    if protocol is Protocol.CAUSE:
        return _compare_causes(folders, peers)
    reader = _Reader(folders, most_points if protocol is Protocol.WHOLE else None)
    outcomes = _run(protocol, reader, per_week, peers, progress)
    return _report(protocol, folders, reader.count, reader.left_out, outcomes)


def judges(peers: bool) -> dict[str, Judge]:
    """Return who takes part online."""
    others = {**CAUSAL_PEERS, **causal_libraries()} if peers else {}
    return {"fleet": fleet, "strong": strong, **networks(), **others}


def methods(peers: bool) -> dict[str, Retrospect]:
    """Return who takes part looking back."""
    return {"strong": hindsight, **(whole_peers() if peers else {})}


class _Reader:
    """Reads the series of several folders, and counts them."""

    def __init__(self, folders: Sequence[Path], most_points: int | None) -> None:
        for folder in folders:
            find_files(folder)  # before hours of work on the others
        self._folders = folders
        self._most = most_points
        self.count = 0
        self.left_out: list[dict[str, str]] = []

    def __iter__(self) -> Iterator[Labelled]:
        for folder in self._folders:
            for series in read_series(folder):
                if self._most is not None and len(series) > self._most:
                    reason = f"it has {len(series)} points, at most {self._most} are looked at"
                    self.left_out.append({"series": series.name, "reason": reason})
                    continue
                self.count += 1
                yield series


def _run(protocol: Protocol, reader: _Reader, per_week: float, peers: bool, progress: Progress) -> list[Outcome]:
    if protocol is Protocol.WHOLE:
        return run_whole(reader, methods(peers), time.process_time, progress=progress)
    if protocol is Protocol.ONLINE:
        return run_online(reader, judges(peers), time.process_time, per_week=per_week, progress=progress)
    run_asset([_little()], time.process_time)  # so that what is compiled or loaded is not counted
    return _ours(run_asset([_asset(one) for one in reader], time.process_time, vus_pr=vus_pr), peers)


def _little() -> Asset:
    noise = np.random.default_rng(1).normal(size=(300, 3))
    return Asset("noise", ("a", "b", "c"), None, noise, np.zeros(300, np.bool_), np.arange(300) < 200)


def _compare_causes(folders: Sequence[Path], peers: bool) -> dict[str, Any]:
    read = [read_all(folder) for folder in folders]
    cases = [case for reading in read for case in reading.cases]
    left_out = [{"series": name, "reason": why} for reading in read for name, why in reading.left_out.items()]
    outcomes = _ours(run_cause(cases, time.process_time), peers)
    return _report(Protocol.CAUSE, folders, len(cases), left_out, outcomes)


def _ours(outcomes: list[Outcome], peers: bool) -> list[Outcome]:
    return outcomes if peers else [one for one in outcomes if not one.name.startswith("peer:")]


def _report(
    protocol: Protocol,
    folders: Sequence[Path],
    series: int,
    left_out: list[dict[str, str]],
    outcomes: Sequence[Outcome],
) -> dict[str, Any]:
    return {
        "protocol": protocol.value,
        "data": [set_name(folder) for folder in folders],
        "series": series,
        "left_out": left_out,
        "detectors": [_told(outcome) for outcome in outcomes],
    }


def _asset(one: Labelled) -> Asset:
    history = np.arange(len(one)) < (len(one) // 2 if one.history is None else one.history)
    return Asset(one.name, one.columns, one.timestamps, one.values, one.labels, history)


def _told(outcome: Outcome) -> dict[str, Any]:
    series = [{"series": name, **_rounded(figures)} for name, figures in outcome.per_series.items()]
    return {"name": outcome.name, **_rounded(outcome.figures), "per_series": series}


def _rounded(figures: Figures) -> Mapping[str, float | None]:
    return {name: None if figure is None else round(figure, 6) for name, figure in figures.items()}
