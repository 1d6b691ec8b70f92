"""What is kept of predictions on request: a line in the log, and a record in the journal of the audit log."""

import random
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atalaia.core.clock import from_us, now_us, utc_now
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.core.scores import THRESHOLD, ModelRef, Score
from atalaia.kit.audit.columns import Batch
from atalaia.kit.audit.journal import Journal
from atalaia.kit.audit.records import Prediction
from atalaia.kit.audit.settings import AuditSettings
from atalaia.kit.logs import EventLog
from atalaia.kit.tracing import traced_as
from atalaia.kit.web.doors import Call
from atalaia.serving.blocks import Block
from atalaia.serving.columns import slot_of

_MOST_SLOTS = 1 << 20
_NOBODY = ModelRef("", "", "")


class PredictionLog:
    """Takes predictions as they are answered. What goes to both places is encoded once, by the journal.

    Parameters
    ----------
    events
        The log of the hot path.
    logs
        Whether single predictions are logged.
    journal
        Of the audit log; None keeps none.
    """

    def __init__(
        self,
        events: EventLog,
        *,
        logs: bool = True,
        journal: Journal | None = None,
        settings: AuditSettings | None = None,
    ) -> None:
        self._events = events
        self._logs = logs
        self._settings = settings or AuditSettings()
        self._journal = journal if self._settings.predictions != "off" else None
        self._keeps_all = self._settings.predictions == "all"
        self._draws = np.random.default_rng()

    def check(self) -> None:
        """Refuse to answer what could not be kept, if it must be.

        Raises
        ------
        Unavailable
            ``audit_unavailable``.
        """
        if self._journal is not None:
            self._journal.check()

    def score(self, call: Call, score: Score, seconds: float) -> None:
        """Take one prediction, explained."""
        kept = self._is_kept(score.is_anomaly)
        if kept is None and not self._logs:
            return
        told = Prediction(
            call.request_id,
            score.series_id,
            score.timestamp,
            score.value,
            score.is_anomaly,
            score.score,
            score.model.model_id,
            score.model.version,
            int(seconds * 1e6) / 1000,
            utc_now(),
            "prediction",
            "info",
            score.confidence,
            score.source,
            call.caller,
            **traced_as(),
        )
        if kept is None:
            self._events.put(told)
        else:
            kept.put(told)

    def plain(
        self,
        call: Call,
        series_id: str,
        timestamp: int,
        value: float,
        score: float,
        model: ModelRef | None,
        seconds: float,
    ) -> None:
        """Take one prediction that is a number alone; NaN is no opinion."""
        kept = self._is_kept(score > THRESHOLD)
        if kept is None and not self._logs:
            return
        ref = model or _NOBODY
        told = Prediction(
            call.request_id,
            series_id,
            from_us(timestamp),
            value,
            score > THRESHOLD,
            None if score != score else score,
            ref.model_id,
            ref.version,
            int(seconds * 1e6) / 1000,
            utc_now(),
            "prediction",
            "info",
            caller=call.caller,
            **traced_as(),
        )
        if kept is None:
            self._events.put(told)
        else:
            kept.put(told)

    def block(
        self,
        call: Call,
        block: Block,
        numbers: NumberArray | None,
        names: Sequence[str] | None,
        timestamps: IntArray,
        values: FloatArray,
        started: float,
    ) -> None:
        """Take the scores of a block."""
        if self._journal is not None and self._journal.is_open and len(block):
            models, refs = _models_of(block)
            self._take(call, numbers, names, timestamps, values, block.score, models, refs, started)

    def column(
        self,
        call: Call,
        model: ModelRef,
        names: Sequence[str],
        timestamps: IntArray,
        values: FloatArray,
        scores: FloatArray,
        started: float,
    ) -> None:
        """Take the scores of points that one model was asked for."""
        if self._journal is not None and self._journal.is_open and len(values):
            self._take(call, None, names, timestamps, values, scores, None, [model], started)

    def _take(
        self,
        call: Call,
        numbers: NumberArray | None,
        names: Sequence[str] | None,
        timestamps: IntArray,
        values: FloatArray,
        scores: FloatArray,
        models: NDArray[np.int32] | None,
        refs: Sequence[ModelRef],
        started: float,
    ) -> None:
        assert self._journal is not None
        ms = int((time.perf_counter() - started) * 1e6) / 1000
        at = (numbers, names, timestamps, values, scores, models, refs)
        batch = Batch(call.request_id, call.caller, now_us(), ms, *at)
        if not self._keeps_all:
            is_sampled = self._settings.predictions == "sampled"
            chosen = (
                self._draws.random(len(values)) < self._settings.sample_ratio if is_sampled else scores > THRESHOLD
            )
            rows = np.flatnonzero(chosen)
            if not len(rows):
                return
            batch = batch.taken(rows)
        self._journal.put_batch(batch)

    def _is_kept(self, is_anomaly: bool) -> Journal | None:
        """Return the journal if it takes a prediction."""
        journal = self._journal
        if journal is None or not journal.is_open:
            return None
        if self._keeps_all:
            return journal
        if self._settings.predictions == "anomalies":
            return journal if is_anomaly else None
        return journal if random.random() < self._settings.sample_ratio else None


def _models_of(block: Block) -> tuple[NDArray[np.int32], list[ModelRef]]:
    """Return for each point of a block the position of its model in the list, -1 for none."""
    slots = slot_of(block.places)  # that of no model is -1, which is the last entry of both tables
    top = int(slots.max())
    if top < _MOST_SLOTS:
        there = np.zeros(top + 2, np.bool_)
        there[slots] = True
        used = np.flatnonzero(there[:-1])
        table = np.full(top + 2, -1, np.int32)
        table[used] = np.arange(len(used), dtype=np.int32)
        models = table.take(slots, mode="wrap")
    else:  # a model was loaded for this block alone
        found, inverse = np.unique(slots, return_inverse=True)
        used = found[found >= 0]
        models = (inverse - (len(found) - len(used))).astype(np.int32)
    return models, [block.loaded(slot).ref for slot in used.tolist()]
