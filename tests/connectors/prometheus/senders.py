"""What a sender of remote write does, and what it finds kept afterwards."""

from typing import Any

import cramjam
from starlette.types import ASGIApp

from tests.connectors.prometheus.messages import body_of
from tests.kit.asgi import Answer, call
from tests.signals.builders import START_S, Place, us
from tests.signals.rooms import rows_of

URL = "/api/v1/write"
PROTOS = {1: "prometheus.WriteRequest", 2: "io.prometheus.write.v2.Request"}


def ms(seconds: float) -> int:
    return int((START_S + seconds) * 1000)


def snappy(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


def post(app: ASGIApp, body: bytes, **headers: str) -> Answer:
    named = {"content-type": "application/x-protobuf", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return call(app, "POST", URL, body, headers=named)


def send(app: ASGIApp, version: int, *series: Any, **headers: str) -> Answer:
    media = f"application/x-protobuf;proto={PROTOS[version]}"
    return post(app, snappy(body_of(version, series)), content_type=media, content_encoding="snappy", **headers)


def kept(place: Place) -> list[tuple[str, float, float]]:
    with place.database.read() as session:
        every, _ = place.signals.list_series(
            session, fleet_id=None, prefix=None, labels=(), cursor=None, limit=1000
        )
    names = {series.number: series.series_id for series in every}
    found = place.signals.history.read(sorted(names), 0, 1 << 62)
    return sorted((names[number], (stamp - us(0)) / 1e6, value) for number, stamp, value in rows_of(found))


def ok(answer: Answer) -> Answer:
    assert (answer.status, answer.body) == (204, b"")
    return answer


def refused(answer: Answer, status: int, code: str) -> Any:
    assert (answer.status, answer.json()["code"]) == (status, code), answer.body
    return answer.json()


def skipped(place: Place) -> dict[str, float]:
    lines = place.telemetry.render().decode().splitlines()
    found = [line.split(" ") for line in lines if line.startswith("remote_write_skipped_total{")]
    return {name.split('"')[1]: float(count) for name, count in found}


# what is kept
