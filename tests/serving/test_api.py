"""The doors of prediction: whatever is sent is answered, or refused with its place."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.kit.asgi import Answer, call
from tests.serving.builders import MEAN, STD, Place, damaged, series
from tests.serving.conftest import OpenPlace

AT_S = 1_700_000_000
FAR = MEAN + 6 * STD


def predict(place: Place, name: str, body: Any) -> Answer:
    return call(place.app, "POST", f"/api/v1/predict/{quote(name, safe='')}", body)


def batch(place: Place, *rows: Any) -> Answer:
    return call(place.app, "POST", "/api/v1/predict/batch", {"points": rows})


def point(value: Any = MEAN, timestamp: Any = AT_S, **more: Any) -> dict[str, Any]:
    return {"timestamp": timestamp, "value": value, **more}


def row(series_id: Any, value: Any = MEAN, timestamp: Any = AT_S) -> dict[str, Any]:
    return point(value, timestamp, series_id=series_id)


def test_a_prediction_says_what_why_and_who(place: Place) -> None:
    place.promote(series("a"))
    answer = predict(place, "a", point(FAR))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["anomaly_score"] == pytest.approx(2.0)
    assert {name: told[name] for name in ("series_id", "timestamp", "value", "anomaly", "confidence")} == {
        "series_id": "a",
        "timestamp": "2023-11-14T22:13:20Z",
        "value": FAR,
        "anomaly": True,
        "confidence": "high",
    }
    assert told["model_info"] == {
        "model_id": "series:a",
        "version": "v1",
        "stage": "Production",
        "type": "statistical",
        "loaded_from": "mlflow",
    }
    why = told["explanation"]
    assert (why["lower"], why["expected"], why["upper"]) == pytest.approx((MEAN - 3 * STD, MEAN, MEAN + 3 * STD))
    assert (why["part"], "above" in why["text"]) == ("level", True)


def test_a_loaded_model_and_one_that_must_be_loaded_answer_the_same(place: Place) -> None:
    place.promote(series("a"))
    assert not place.models.is_resident("a")
    first = predict(place, "a", point(FAR))
    assert place.models.is_resident("a")
    assert predict(place, "a", point(FAR)).json() == {**first.json(), "flags": ["replayed"]}


def test_the_fallback_answers_where_there_is_no_model(place: Place) -> None:
    place.known.fill("a")
    told = predict(place, "a", point(FAR, "2023-11-14T23:13:20+01:00")).json()
    assert (told["anomaly"], told["confidence"], told["timestamp"]) == (True, "low", "2023-11-14T22:13:20Z")
    assert told["model_info"]["loaded_from"] == "fallback"
    assert told["model_info"]["stage"] == "None"


def test_no_opinion_is_null(place: Place) -> None:
    place.known.fill("a", count=2)
    told = predict(place, "a", point()).json()
    assert (told["anomaly_score"], told["anomaly"], told["explanation"]["expected"]) == (None, False, None)


@pytest.mark.parametrize("name", ["hall 2/pump", "a//b/", "%2F", "100%", "温度/センサー", "a?b#c&d=e", "é" * 256])
def test_ids_of_every_kind_are_answered(place: Place, name: str) -> None:
    place.promote(series(name))
    assert predict(place, name, point()).json()["series_id"] == name
    assert batch(place, row(name)).json()["predictions"][0]["series_id"] == name
    assert reload(place, name).json()["model_id"] == f"series:{name}"


BAD = {
    "an empty body": (b"", "invalid_json", ""),
    "no JSON": (b"{", "invalid_json", ""),
    "bytes that are no text": (b'{"timestamp":"\xff","value":1}', "invalid_json", ""),
    "a list": (b"[]", "invalid_request", ""),
    "no value": (b'{"timestamp":1}', "invalid_request", ""),
    "no time": (b'{"value":1}', "invalid_request", ""),
    "a text for a value": (point("1"), "invalid_request", "/value"),
    "a null for a value": (point(None), "invalid_request", "/value"),
    "a list for a time": (point(1, []), "invalid_request", "/timestamp"),
    "NaN": (b'{"timestamp":1,"value":NaN}', "invalid_json", ""),
    "Infinity": (b'{"timestamp":1,"value":-Infinity}', "invalid_json", ""),
    "a number beyond all floats": (b'{"timestamp":1,"value":1e999}', "invalid_request", "/value"),
    "an integer beyond all floats": (b'{"timestamp":1,"value":1' + b"0" * 400 + b"}", "invalid_request", "/value"),
    "a field too many": (point(1, 1, colour="red"), "invalid_request", ""),
    "milliseconds": (point(1, AT_S * 1000), "invalid_time", "/timestamp"),
    "a time before 1970": (point(1, -1), "invalid_time", "/timestamp"),
    "a text that is no time": (point(1, "yesterday"), "invalid_time", "/timestamp"),
    "a time without a zone": (point(1, "2024-01-01T00:00:00"), "invalid_time", "/timestamp"),
    "a year that is none": (point(1, "0000-01-01T00:00:00Z"), "invalid_time", "/timestamp"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_point_is_refused_with_its_place(place: Place, what: str) -> None:
    body, code, pointer = BAD[what]
    place.known.fill("a")
    answer = predict(place, "a", body)
    problem = answer.json()
    assert answer.status == 422
    assert problem["code"].startswith(code), problem
    assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "name", ["", " a", "a\n", "batch", "fleets", "jobs", "x" * 257, "a\x85", "..", "a\0"], ids=repr
)
def test_an_id_that_cannot_be_is_refused(place: Place, name: str) -> None:
    assert predict(place, name, point()).status in (404, 405, 422)
    told = batch(place, row(name)).json()["predictions"][0]
    assert (told["error"]["code"], told["error"]["errors"][0]["pointer"]) == ("invalid_id", "/points/0/series_id")


def test_the_largest_and_smallest_numbers_are_answered(place: Place) -> None:
    place.promote(series("a"))
    place.known.fill("bare")
    for name in ("a", "bare"):
        for value in (1.7e308, -1.7e308, 5e-324, -0.0, 0, 10**30):
            told = predict(place, name, point(value))
            assert told.status == 200, told.body
            assert told.json()["anomaly_score"] <= 1e6


def test_an_unknown_series_is_missing(place: Place) -> None:
    answer = predict(place, "nobody", point())
    assert (answer.status, answer.json()["code"]) == (404, "unknown_series")


def test_a_catalogue_that_is_down_is_unavailable(place: Place) -> None:
    place.known.is_down = True
    answer = predict(place, "a", point())
    assert (answer.status, answer.json()["code"], "retry-after" in answer.headers) == (
        503,
        "database_unavailable",
        True,
    )


def test_in_a_batch_each_point_answers_for_itself_in_order(place: Place) -> None:
    place.promote(series("a"))
    place.known.fill("bare")
    rows = [
        row("bare"),
        row("nobody"),
        row("a", FAR),
        row(""),
        row("a", 1, AT_S * 1000),
        row("a"),
        row("bare", FAR),
    ]
    answer = batch(place, *rows)
    assert answer.status == 200
    told = answer.json()["predictions"]
    assert [one["series_id"] for one in told] == [sent["series_id"] for sent in rows]
    codes = [one["error"]["code"] if "error" in one else one["anomaly"] for one in told]
    assert codes == [False, "unknown_series", True, "invalid_id", "invalid_time", False, True]
    assert told[4]["error"]["errors"][0]["pointer"] == "/points/4/timestamp"
    assert told[1]["error"]["status"] == 404


def test_a_batch_in_which_nothing_can_be_answered_is_answered(place: Place) -> None:
    told = batch(place, row(""), row("a", 1, -5)).json()["predictions"]
    assert [one["error"]["code"] for one in told] == ["invalid_id", "invalid_time"]


def test_an_empty_batch_has_an_empty_answer(place: Place) -> None:
    assert batch(place).json() == {"predictions": []}


def test_a_batch_over_the_limit_is_refused_whole(open_serving: OpenPlace) -> None:
    place = open_serving(max_batch_points=3)
    place.known.fill("a")
    assert batch(place, *[row("a")] * 3).status == 200
    refused = batch(place, *[row("a")] * 4)
    assert (refused.status, refused.json()["code"]) == (422, "invalid_points")
    assert refused.json()["errors"][0]["pointer"] == "/points"


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"", "invalid_json", ""),
        (b'{"points":[', "invalid_json", ""),
        (b"[]", "invalid_request", ""),
        (b"{}", "invalid_request", "/series_ids"),
        (b'{"points":null}', "invalid_request", "/series_ids"),
        (b'{"points":7}', "invalid_request", "/points"),
        (b'{"points":[7]}', "invalid_request", "/points/0"),
        (b'{"points":[{"series_id":7,"timestamp":1,"value":1}]}', "invalid_request", "/points/0/series_id"),
        (b'{"points":[{"series_id":"a","timestamp":1,"value":"1"}]}', "invalid_request", "/points/0/value"),
        (b'{"points":[{"series_id":"a","timestamp":1,"value":NaN}]}', "invalid_json", ""),
        (b'{"points":[{"series_id":"\\ud800","timestamp":1,"value":1}]}', "invalid_json", ""),
        (b'{"points":' + b"[" * 5_000, "invalid_request", "/points/0"),
        (b'{"points":[],"more":1}', "invalid_request", ""),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused(place: Place, body: bytes, code: str, pointer: str) -> None:
    answer = call(place.app, "POST", "/api/v1/predict/batch", body)
    problem = answer.json()
    assert (answer.status, problem["code"], problem["errors"][0]["pointer"]) == (422, code, pointer)


def columns(names: Any = ("a",), stamps: Any = (AT_S,), values: Any = (MEAN,), **more: Any) -> dict[str, Any]:
    return {"series_ids": names, "timestamps": stamps, "values": values, **more}


def numbers(series: Any = (1,), stamps: Any = (AT_S,), values: Any = (MEAN,), **more: Any) -> dict[str, Any]:
    return {"series": series, "timestamps": stamps, "values": values, **more}


BAD_COLUMNS = {
    "rows beside columns": (columns(points=[]), "invalid_request", ["/series_ids", "/timestamps", "/values"]),
    "rows beside one column": ({"points": [], "values": [1]}, "invalid_request", ["/values"]),
    "ids beside numbers": (columns(series=[1]), "invalid_request", ["/series"]),
    "no series": ({"timestamps": [1], "values": [1]}, "invalid_request", ["/series_ids"]),
    "ids alone": ({"series_ids": ["a"]}, "invalid_request", ["/timestamps", "/values"]),
    "numbers alone": ({"series": [1]}, "invalid_request", ["/timestamps", "/values"]),
    "a column of null": (numbers(values=None), "invalid_request", ["/values"]),
    "a column that is none": (columns(names="aaa"), "invalid_request", ["/series_ids"]),
    "a column too many": (columns(colour=["red"]), "invalid_request", [""]),
    "a number for an id": (columns(names=["a", 7]), "invalid_request", ["/series_ids/1"]),
    "an id for a number": (numbers(series=[1, "a"]), "invalid_request", ["/series/1"]),
    "a number of none": (numbers(series=[1, 0]), "invalid_request", ["/series/1"]),
    "a negative number": (numbers(series=[-1]), "invalid_request", ["/series/0"]),
    "a fraction of a number": (numbers(series=[1.5]), "invalid_request", ["/series/0"]),
    "a number beyond int32": (numbers(series=[1, 1, 2**31]), "invalid_request", ["/series/2"]),
    "a number beyond all integers": (numbers(series=[10**40]), "invalid_request", ["/series/0"]),
    "a null for a value": (columns(values=[None]), "invalid_request", ["/values/0"]),
    "a text for a value": (columns(values=["1"]), "invalid_request", ["/values/0"]),
    "a list for a time": (columns(stamps=[[]]), "invalid_request", ["/timestamps/0"]),
    "NaN": (b'{"series":[1],"timestamps":[1],"values":[NaN]}', "invalid_json", [""]),
    "a value beyond all floats": (
        b'{"series":[1],"timestamps":[1],"values":[1e999]}',
        "invalid_request",
        ["/values/0"],
    ),
    "a time beyond all floats": (
        b'{"series":[1],"timestamps":[1,1e999],"values":[1,1]}',
        "invalid_request",
        ["/timestamps/1"],
    ),
    "columns of different lengths": (columns(values=[1, 2]), "invalid_points", ["/values"]),
    "no values at all": (numbers(values=[]), "invalid_points", ["/values"]),
    "milliseconds": (
        columns(["a"] * 3, [1, AT_S * 1000, -1], [1] * 3),
        "invalid_time",
        ["/timestamps/1", "/timestamps/2"],
    ),
    "a time without a zone": (columns(["a"] * 2, [1, "2024-01-01"], [1] * 2), "invalid_time", ["/timestamps/1"]),
    "a text that is no time": (columns(stamps=["now"]), "invalid_time", ["/timestamps/0"]),
    "ids that cannot be": (
        columns(["a", " a", "bare", "", " a"], [1] * 5, [1] * 5),
        "invalid_id",
        ["/series_ids/1", "/series_ids/3", "/series_ids/4"],
    ),
    "a lone surrogate": (b'{"series_ids":["\\ud800"],"timestamps":[1],"values":[1]}', "invalid_json", [""]),
    "brackets without end": (b'{"series_ids":' + b"[" * 5_000, "invalid_request", ["/series_ids/0"]),
}


@pytest.mark.parametrize("what", BAD_COLUMNS)
def test_bad_columns_are_refused_whole_with_their_places(place: Place, what: str) -> None:
    body, code, pointers = BAD_COLUMNS[what]
    place.promote(series("a"))
    answer = call(place.app, "POST", "/api/v1/predict/batch", body)
    problem = answer.json()
    assert (answer.status, problem["code"]) == (422, code), problem
    assert [fault["pointer"] for fault in problem["errors"]] == pointers
    assert place.serving.counts("a", 0) == (0, 0)


def test_no_more_than_twenty_bad_places_of_a_column_are_named(place: Place) -> None:
    answer = call(place.app, "POST", "/api/v1/predict/batch", columns(["a"] * 99, [-1] * 99, [1] * 99))
    assert len(answer.json()["errors"]) == 20
    assert "and 98 more" in answer.json()["detail"]


def test_columns_over_the_limit_are_refused_whole(open_serving: OpenPlace) -> None:
    place = open_serving(max_batch_points=3)
    for form, name in ((columns, "a"), (numbers, 1)):
        body = [form([name] * n, [AT_S] * n, [MEAN] * n) for n in (3, 4)]
        taken, refused = (call(place.app, "POST", "/api/v1/predict/batch", one) for one in body)
        assert taken.status == 200
        assert (refused.status, refused.json()["code"]) == (422, "invalid_points")
        assert refused.json()["errors"][0]["pointer"] == ("/series_ids" if name == "a" else "/series")
    crowd = b'{"series":[' + b"1," * 10_000
    assert call(place.app, "POST", "/api/v1/predict/batch", crowd).json()["code"] == "invalid_points"


def reload(place: Place, name: str) -> Answer:
    return call(place.app, "POST", f"/api/v1/admin/reload/{quote(name, safe='')}")


def test_a_reload_says_where_the_model_came_from(place: Place) -> None:
    deployment = place.promote(series("a"))
    first = reload(place, "a").json()
    assert (first["model_id"], first["version"], first["loaded_from"]) == ("series:a", "v1", "mlflow")
    assert first["load_seconds"] > 0
    place.shelf.artefacts[deployment.run_id] = damaged(place.shelf.artefacts[deployment.run_id])
    assert reload(place, "a").json()["loaded_from"] == "local_cache"
    place.copy_of(deployment).unlink()
    assert (reload(place, "a").status, predict(place, "a", point()).json()["model_info"]["loaded_from"]) == (
        503,
        "local_cache",
    )


@pytest.mark.parametrize("name", ["nobody", "x" * 10_000, "a\0b"])
def test_a_reload_of_an_unknown_series_is_missing(place: Place, name: str) -> None:
    answer = reload(place, name)
    assert (answer.status, answer.json()["code"]) == (404, "no_deployment")
