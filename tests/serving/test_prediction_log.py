"""Every door that answers with a score keeps it: which series, which point, which score, by which version."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atalaia.core.clock import to_us
from atalaia.core.errors import Unavailable
from atalaia.core.points import NumberArray
from atalaia.core.scores import THRESHOLD
from atalaia.kit.arrow_stream import ARROW
from atalaia.kit.audit.columns import Batch
from atalaia.kit.audit.records import Prediction
from atalaia.kit.audit.settings import AuditSettings
from tests.kit.asgi import call
from tests.serving.builders import MEAN, START_US, STD, Place, fleet, series

FAR = MEAN + 6 * STD
AT_S = START_US // 1_000_000
Row = tuple[str, int, float, bool, str]


class Kept:
    """A journal that keeps what it is given in a list."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.is_open = True
        self.is_full = False
        self.rows: list[Row] = []
        self.requests: set[str] = set()

    def check(self) -> None:
        if self.is_full:
            raise Unavailable("audit_unavailable", "nothing can be kept")

    def put(self, told: Prediction) -> None:
        self.requests.add(told.request_id)
        value = told.value or 0.0
        self.rows.append(
            (told.series_id, to_us(told.point_at), value, told.anomaly, f"{told.model_id} {told.model_version}")
        )

    def put_batch(self, batch: Batch) -> None:
        self.requests.add(batch.request_id)
        for i in range(len(batch)):
            which = 0 if batch.models is None else int(batch.models[i])
            ref = batch.refs[which] if which >= 0 else None
            self.rows.append(
                (
                    self._name(batch, i),
                    int(batch.timestamps[i]),
                    float(batch.values[i]),
                    bool(batch.scores[i] > THRESHOLD),
                    "" if ref is None else f"{ref.model_id} {ref.version}",
                )
            )

    def _name(self, batch: Batch, i: int) -> str:
        if batch.names is not None:
            return batch.names[i]
        numbers: NumberArray | None = batch.numbers
        assert numbers is not None
        return self._place.serving.models.routes.names_of(numbers[i : i + 1])[0]


@pytest.fixture
def kept(place: Place) -> Kept:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(series("fan"))
    place.journal = kept = Kept(place)  # pyright: ignore[reportAttributeAccessIssue]
    return kept


A, B = ("a", START_US, FAR, True, "fleet:pumps v1"), ("b", START_US, MEAN, False, "fleet:pumps v1")
FAN = ("fan", START_US, FAR, True, "series:fan v1")
BOTH = [{"series_id": "a", "timestamp": AT_S, "value": FAR}, {"series_id": "b", "timestamp": AT_S, "value": MEAN}]


def tensor(name: str, datatype: str, *data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": list(data)}


def inputs(*series_ids: str) -> dict[str, Any]:
    values = [FAR if i == 0 else MEAN for i in range(len(series_ids))]
    stamps = [START_US] * len(series_ids)
    told = [tensor("series_id", "BYTES", *series_ids), tensor("value", "FP64", *values)]
    return {"inputs": [*told, tensor("timestamp", "INT64", *stamps)]}


def instances(*series_ids: str) -> dict[str, Any]:
    return {"instances": [{**BOTH[i], "series_id": name} for i, name in enumerate(series_ids)]}


def columns(place: Place, *, numbered: bool = False) -> dict[str, Any]:
    named: dict[str, Any] = {"series_ids": ["a", "b"]}
    if numbered:
        named = {"series": [place.known.number(name) for name in ("a", "b")]}
    return {**named, "timestamps": [AT_S, AT_S], "values": [FAR, MEAN]}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/api/v1/predict/a", {"timestamp": AT_S, "value": FAR}, [A]),
        ("/api/v1/predict/batch", {"points": BOTH}, [A, B]),
        ("/v2/models/atalaia/infer", inputs("a"), [A]),
        ("/v2/models/atalaia/infer", inputs("a", "b"), [A, B]),
        ("/v2/models/fleet%3Apumps/infer", inputs("a"), [A]),
        ("/v2/models/fleet%3Apumps/infer", inputs("a", "b"), [A, B]),
        ("/v2/models/fleet%3Apumps/versions/1/infer", inputs("a", "b"), [A, B]),
        ("/v2/models/series%3Afan/infer", inputs("fan"), [FAN]),
        ("/v1/models/atalaia:predict", instances("a"), [A]),
        ("/v1/models/atalaia:predict", instances("a", "b"), [A, B]),
        ("/v1/models/fleet%3Apumps:predict", instances("a"), [A]),
    ],
)
def test_a_door_keeps_what_it_answers(
    place: Place, kept: Kept, path: str, body: dict[str, Any], expected: list[Row]
) -> None:
    answer = call(place.app, "POST", path, body, headers={"x-request-id": "mine"})
    assert answer.status == 200, answer.body
    assert kept.rows == expected
    assert kept.requests == {"mine"}


@pytest.mark.parametrize("numbered", [False, True])
def test_columns_are_kept(place: Place, kept: Kept, numbered: bool) -> None:
    sent = columns(place, numbered=numbered)
    assert call(place.app, "POST", "/api/v1/predict/batch", sent).status == 200
    assert kept.rows == [A, B]


def test_an_arrow_stream_is_kept(place: Place, kept: Kept) -> None:
    sent = pa.record_batch(
        {
            "series_id": ["a", "nobody", "b"],
            "timestamp": np.full(3, START_US),
            "value": np.array([FAR, 1.0, MEAN]),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, sent.schema) as writer:
        writer.write_batch(sent)
    body = sink.getvalue().to_pybytes()
    answer = call(place.app, "POST", "/api/v1/predict/batch", body, headers={"content-type": ARROW})
    assert answer.status == 200, answer.body
    assert kept.rows == [A, ("nobody", START_US, 1.0, False, ""), B]


@pytest.mark.parametrize(("mode", "expected"), [("anomalies", [A]), ("off", []), ("sampled", [])])
@pytest.mark.parametrize("body", [{"points": BOTH}, None])
def test_what_is_kept_can_be_chosen(
    place: Place, kept: Kept, mode: str, expected: list[Row], body: dict[str, Any] | None
) -> None:
    place.audit = AuditSettings.model_validate({"predictions": mode, "sample_ratio": 0.0})
    assert call(place.app, "POST", "/api/v1/predict/batch", body or columns(place)).status == 200
    assert kept.rows == expected


def test_a_sample_of_all_is_all(place: Place, kept: Kept) -> None:
    place.audit = AuditSettings.model_validate({"predictions": "sampled", "sample_ratio": 1.0})
    call(place.app, "POST", "/api/v1/predict/batch", {"points": BOTH})
    call(place.app, "POST", "/api/v1/predict/batch", columns(place))
    assert kept.rows == [A, B, A, B]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/predict/a", {"timestamp": AT_S, "value": FAR}),
        ("/api/v1/predict/batch", {"points": BOTH}),
        ("/v2/models/atalaia/infer", inputs("a")),
        ("/v1/models/atalaia:predict", instances("a", "b")),
    ],
)
def test_what_cannot_be_kept_and_must_be_is_not_answered(
    place: Place, kept: Kept, path: str, body: dict[str, Any]
) -> None:
    kept.is_full = True
    answer = call(place.app, "POST", path, body)
    assert (answer.status, answer.json()["code"]) == (503, "audit_unavailable")
    assert kept.rows == []
