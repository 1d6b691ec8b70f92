"""The face of incidents: its use cases."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from atalaia.algorithms.causes.calls import Calls
from atalaia.algorithms.causes.ranking import Evidence, rank
from atalaia.core.clock import MICROS
from atalaia.core.errors import Fault, Invalid, Missing
from atalaia.incidents.ports import Change, Changes, History
from atalaia.incidents.rootcause import Finding, Points, Question, measured, split, step_of
from atalaia.incidents.settings import IncidentsSettings
from atalaia.kit.privacy import Privacy

_HOUR_US = 3_600 * MICROS
_NOTHING = "its labels do not say of which service or asset it is"

_NONE: Points = (np.empty(0, np.int64), np.empty(0, np.float64))

Labels = Mapping[str, Mapping[str, str]]
"""By the id of a series, its labels."""


class Incidents:
    """Where an incident began."""

    def __init__(
        self, history: History, privacy: Privacy, settings: IncidentsSettings, changes: Changes | None = None
    ) -> None:
        self.settings = settings
        self._history = history
        self._privacy = privacy
        self._changes = changes

    def find_cause(self, question: Question) -> Finding:
        """Rank the services and metrics of an incident.

        Raises
        ------
        Invalid, Missing
            When the question does not fit together, names what is not there, or asks for too much.
        """
        asked = self._hidden(question)
        labels = self._chosen(asked)
        named = {series_id: own for series_id, own in labels.items() if own.get(asked.service_label)}
        if not named:
            detail = (
                f"none of {len(labels)} series has the label {asked.service_label!r}; `service_label` says which "
                "label names the service or asset, and PATCH /api/v1/series/{series_id} sets one"
            )
            raise Invalid("invalid_request", detail, faults=[Fault("/service_label", detail)])
        ids = list(named)
        services = [named[series_id][asked.service_label] for series_id in ids]
        metrics = [named[series_id].get(asked.metric_label) or series_id for series_id in ids]
        asked = self._alarmed(asked, ids, services, metrics)
        series, points = self._read(asked, ids, metrics)
        step_us = step_of(series, asked, len(ids))
        before, window = split(series, asked, step_us)
        changes = self._changed(asked, services)
        evidence = Evidence(
            services,
            metrics,
            before,
            window,
            Calls(asked.edges) if asked.edges else None,
            asked.alarmed_service,
            asked.alarmed_metric,
            asked.meanings,
            frozenset(changes),
        )
        ranking = rank(evidence)
        left_out = {series_id: _NOTHING for series_id in labels if series_id not in named}
        left_out |= {ids[position]: reason for position, reason in ranking.left_out.items()}
        return Finding(asked, ranking, ids, points, step_us, bool(asked.edges), left_out, changes)

    def _hidden(self, question: Question) -> Question:
        """Return the question with the names under which things are kept."""
        privacy = self._privacy

        def service(name: str) -> str:
            return privacy.label(question.service_label, name) or name

        def metric(name: str) -> str:
            return privacy.label(question.metric_label, name) or name

        alarmed = question.alarmed_series
        return replace(
            question,
            series_ids=list(dict.fromkeys(privacy.series_ids(question.series_ids))),
            alarmed_series=None if alarmed is None else privacy.series_id(alarmed),
            alarmed_service=None if question.alarmed_service is None else service(question.alarmed_service),
            alarmed_metric=None if question.alarmed_metric is None else metric(question.alarmed_metric),
            edges=[(service(caller), service(callee)) for caller, callee in question.edges],
            directions={metric(name): way for name, way in question.directions.items()},
            traffic_metric=None if question.traffic_metric is None else metric(question.traffic_metric),
        )

    def _chosen(self, asked: Question) -> Labels:
        """Return the series that the question is about, with their labels."""
        most = self.settings.rootcause_max_series
        wanted = [*asked.series_ids, *([asked.alarmed_series] if asked.alarmed_series else [])]
        _refuse_crowd(len(wanted), most)
        found: dict[str, Mapping[str, str]] = dict(self._history.described(wanted))
        for position, series_id in enumerate(wanted):
            if series_id not in found:
                is_listed = position < len(asked.series_ids)
                pointer = f"/series_ids/{position}" if is_listed else "/alarmed_series"
                detail = f"no point of {series_id[:80]!r} was ever received"
                raise Missing("unknown_series", detail, faults=[Fault(pointer, "unknown series")])
        if asked.fleet_id is not None or asked.labels:
            found |= self._history.matching(asked.fleet_id, asked.labels, most + 1)
            _refuse_crowd(len(found), most)
        if not found:
            raise Missing("unknown_series", "no series has all of these labels; `atalaia series list` shows them")
        return found

    def _alarmed(
        self, asked: Question, ids: Sequence[str], services: Sequence[str], metrics: Sequence[str]
    ) -> Question:
        """Return the question with the service and the metric of the alarm, as far as they are known."""
        if asked.alarmed_series is not None:
            if asked.alarmed_series not in ids:
                detail = f"the alarmed series has no label {asked.service_label!r}"
                raise Invalid("invalid_request", detail, faults=[Fault("/alarmed_series", detail)])
            place = ids.index(asked.alarmed_series)
            return replace(asked, alarmed_service=services[place], alarmed_metric=metrics[place])
        if asked.alarmed_service is not None:
            mine = {metric for s, metric in zip(services, metrics, strict=True) if s == asked.alarmed_service}
            if not mine:
                detail = f"no series that is looked at belongs to {asked.alarmed_service[:80]!r}"
                raise Invalid("invalid_request", detail, faults=[Fault("/alarmed_service", detail)])
            if asked.alarmed_metric is not None and asked.alarmed_metric not in mine:
                detail = f"{asked.alarmed_service[:80]!r} has no metric {asked.alarmed_metric[:80]!r}"
                raise Invalid("invalid_request", detail, faults=[Fault("/alarmed_metric", detail)])
        return asked

    def _read(self, asked: Question, ids: Sequence[str], metrics: Sequence[str]) -> tuple[list[Points], int]:
        most = self.settings.rootcause_max_points
        series: list[Points] = [_NONE] * len(ids)
        count = 0
        for places, group in self._history.groups(ids, asked.start_us - asked.history_us, asked.end_us):
            count += len(group.values)
            if count > most:
                detail = (
                    f"the question would read more than {most} points; ask for fewer series, or a shorter history"
                )
                raise Invalid("too_many_points", detail, faults=[Fault("", detail)])
            positions: list[int] = places.tolist()
            for i, place in enumerate(positions):
                series[place] = measured(metrics[place], group.series(i))
        return series, count

    def _changed(self, asked: Question, services: Sequence[str]) -> dict[str, list[Change]]:
        found: dict[str, list[Change]] = {}
        if self._changes is not None:
            start_us = asked.start_us - int(self.settings.rootcause_changes_hours * _HOUR_US)
            for change in self._changes.between(list(dict.fromkeys(services)), start_us, asked.end_us):
                found.setdefault(change.service, []).append(change)
        return found


def _refuse_crowd(count: int, most: int) -> None:
    if count > most:
        detail = f"a question for a cause may look at {most} series; name fewer, or labels that fewer have"
        raise Invalid("too_many_series", detail, faults=[Fault("", detail)])
