"""``algorithm: auto``: the history of a series or fleet chooses, joined by what people said of its anomalies."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.selection.choosing import Choice
from atalaia.algorithms.selection.selecting import AUTO, sample, select
from atalaia.algorithms.selection.trials import MOST_POINTS, Past, Said
from atalaia.core.anomalies import Anomaly, FeedbackKind
from atalaia.core.clock import to_us
from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import Group
from atalaia.kit.tracing import span
from atalaia.lifecycle.ports import History, Judgements
from atalaia.lifecycle.settings import LifecycleSettings


def check_algorithm(algorithm: str, hyperparameters: Mapping[str, Any]) -> None:
    """Refuse an algorithm that there is not, and hyperparameters that it does not take.

    Raises
    ------
    Invalid
        As `make_detector` does; ``invalid_hyperparameters`` for any beside ``auto``, which chooses whose they are.
    """
    if algorithm != AUTO:
        make_detector(algorithm, hyperparameters)
    elif hyperparameters:
        pointer = "/config/hyperparameters"
        reason = "auto takes none, since it chooses the algorithm that they are of; name one, or leave them out"
        raise Invalid("invalid_hyperparameters", f"{pointer}: {reason}", faults=[Fault(pointer, reason)])


class Selection:
    """Chooses the detector of a training."""

    def __init__(self, history: History, judgements: Judgements, settings: LifecycleSettings) -> None:
        self._history = history
        self._judgements = judgements
        self._settings = settings

    def choose(
        self,
        series_ids: Sequence[str],
        lone: Group | None,
        span_us: tuple[int, int],
        report: Callable[[float], None],
    ) -> Choice:
        """Return the choice for a fleet, of which some series are looked at, or for a lone series.

        Parameters
        ----------
        lone
            The history of the lone series; None to read that of a fleet.
        span_us
            First and last moment of what is learnt.
        report
            Told which share of the work is done.
        """
        with span("choose_algorithm", series=len(series_ids)):
            ids = [series_ids[place] for place in sample(len(series_ids))]
            said = self._said(ids, span_us)
            pasts: list[Past] = []
            for series_id in ids:
                # One by one, so that no more than the history of one is in memory.
                group = self._history.group([series_id], span_us[0], span_us[1] + 1) if lone is None else lone
                timestamps, values = group.series(0)
                pasts.append(Past(timestamps[-MOST_POINTS:], values[-MOST_POINTS:], said.get(series_id, ())))
            most = self._settings.auto_max_bytes
            return select(pasts, len(series_ids), most, time.process_time, report)

    def _said(self, series_ids: Sequence[str], span_us: tuple[int, int]) -> dict[str, tuple[Said, ...]]:
        found: dict[str, tuple[Said, ...]] = {}
        for anomaly in self._judgements.judged(series_ids, span_us[0], span_us[1] + 1):
            found[anomaly.series_id] = (*found.get(anomaly.series_id, ()), _said(anomaly))
        return found


def _said(anomaly: Anomaly) -> Said:
    """Return what was said last of an anomaly: who changes their mind means the newer word."""
    matters = anomaly.feedback[-1].kind is FeedbackKind.USEFUL
    return Said(to_us(anomaly.opened_at), to_us(anomaly.last_at), matters)
