"""Every example of the API is accepted; what is nearly an example is accepted or refused, never a 500."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.app.embedded import Embedded
from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client
from atalaia.core.models import ModelKey, Scope
from scripts.reference import api
from tests.house.source import read
from tests.journeys.measurements import START_S, STEP_S, wave
from tests.journeys.servers import until

pytestmark = pytest.mark.slow
DOCUMENT: dict[str, Any] = json.loads(read("docs/reference/openapi.json"))
"""What is served; a law of the house holds this snapshot against the code."""
SERIES, FLEET, ASSET, AT_S = "sensor_001_radial", "pumps/north", "press 3", 1_733_587_200
INCIDENT_S = 1_795_168_800
BUDGET = settings(max_examples=40)


@dataclass(frozen=True)
class Stage:
    """A service that knows what the examples speak of: a series with a model and an anomaly, and a fleet."""

    http: httpx.Client
    client: Client
    anomaly_id: str
    wave_id: str

    def send(self, operation: str, body: Any) -> httpx.Response:
        """Send a body to ``METHOD /path``; one that is not bytes is sent as JSON."""
        method, _, path = operation.partition(" ")
        names = {"series_id": SERIES, "fleet_id": FLEET, "anomaly_id": self.anomaly_id}
        names |= {"name": f"series:{SERIES}", "wave_id": self.wave_id, "asset_id": ASSET}
        if "{event_id}" in path:
            names["event_id"] = self.know_of_an_event()
        if "/privacy/" in path:
            self.keep_subject()
        if path.endswith("waves/{wave_id}/promote"):
            names["wave_id"] = trained_wave(self.http)
        if path.endswith("/challenger") and body == {"version": "v2"}:  # as the example has it: one in Staging
            body = {"version": self.train(key_in(path))}
        if "{version}" in path:
            names["version"] = self.train(key_in(path))
        target = re.sub(r"\{(\w+)\}", lambda found: quote(names[found[1]], safe=""), path)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.request(method, target, content=data, headers={"content-type": "application/json"})

    def know_of_an_event(self) -> str:
        """Return an event of two hours, of which the example ends the second."""
        sent = {"kind": "other", "title": "a backup", "scope": {"series_ids": [SERIES]}}
        times = {"from": "2026-12-06T02:00:00-03:00", "to": "2026-12-06T04:00:00-03:00"}
        answer = self.http.post("/api/v1/known-events", json={**sent, **times})
        event_id: str = answer.raise_for_status().json()["event_id"]
        return event_id

    def keep_subject(self) -> None:
        """Have the data of a person that the examples erase, when no erasure from before goes on."""
        until(
            lambda: not any(self.client.jobs.list(status=status).items for status in ("queued", "processing")),
            "the erasure before",
            timeout_s=60,
        )
        self.client.points.add(wave(10, "watch 7"))
        self.client.series.label("watch 7", {"user": "ada"})

    def train(self, key: ModelKey) -> str:
        """Return a new version in Staging; other examples may have emptied the fleet meanwhile."""
        self.client.fleets.set(FLEET, [SERIES])
        version = self.client.jobs.wait(self.client.training.start(key).job_id, timeout_s=60).model_version
        assert version
        return version


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage") / "data"
    wanted = load_settings({"data_dir": folder, "port": 0, "lifecycle.cooldown_s": 0})
    with (
        Embedded(wanted) as service,
        Client(service.url) as client,
        httpx.Client(base_url=service.url, trust_env=False, timeout=30) as http,
    ):
        for name in (SERIES, "pump/7"):
            client.points.add(wave(1_000, name, start=(AT_S - START_S) // STEP_S - 1_001))
        client.fleets.set(FLEET, [SERIES])
        client.fleets.set("shops", ["pump/7"])
        open_shop(client)
        set_up_press(client)
        stage = Stage(http, client, "", "")
        asset = ModelKey(Scope.ASSET, ASSET)
        client.models.promote(asset, stage.train(asset))
        client.models.promote(ModelKey(Scope.SERIES, SERIES), stage.train(ModelKey(Scope.SERIES, SERIES)))
        until(lambda: http.get("/health").json()["scoring_lag_rows"] == 0, "the history to be scored")
        strange = {"series_id": SERIES, "timestamp": AT_S - STEP_S, "value": 1e6}
        http.post("/api/v1/points", json={"points": [strange]}).raise_for_status()
        found = until(lambda: http.get("/api/v1/anomalies").json()["items"], "the anomaly")
        yield Stage(http, client, found[0]["anomaly_id"], trained_wave(http, promote=True))


def key_in(path: str) -> ModelKey:
    """Return what a path is about."""
    if "asset_id" in path:
        return ModelKey(Scope.ASSET, ASSET)
    return ModelKey(Scope.FLEET, FLEET) if "fleet_id" in path else ModelKey(Scope.SERIES, SERIES)


def set_up_press(client: Client) -> None:
    """Keep the sensors of the asset whose moments the examples score."""
    for name in ("flow", "heat", "power"):
        client.points.add(wave(1_000, f"{ASSET}/{name}", start=(AT_S - START_S) // STEP_S - 1_001))
        client.series.label(f"{ASSET}/{name}", {"asset": ASSET})


def open_shop(client: Client) -> None:
    """Keep the services whose incident the example of a root cause asks about."""
    for name in ("web", "orders", "database"):
        client.points.add(wave(100, f"{name}/latency", start=(INCIDENT_S - START_S) // STEP_S - 90))
        labels = {"service": name, "env": "production", "__name__": "latency_seconds"}
        client.series.label(f"{name}/latency", labels)


def trained_wave(http: httpx.Client, *, promote: bool = False) -> str:
    """Return a wave of the fleet that has ended."""
    sent = {"fleets": [FLEET], "promote": promote}
    wave_id: str = http.post("/api/v1/training/waves", json=sent).raise_for_status().json()["wave_id"]
    until(lambda: not http.get(f"/api/v1/training/waves/{wave_id}").json()["waiting"], "the wave")
    return wave_id


def bodies() -> Iterator[tuple[str, Any]]:
    """Yield every operation with each example of its body."""
    for title, operation in api.operations_of(DOCUMENT):
        content = api.resolve(operation.get("requestBody", {}), DOCUMENT).get("content", {})
        for media, described in content.items():
            for example in api.examples_of(described, DOCUMENT) if "json" in media else []:
                yield title, example


NEED_USERS = "/api/v1/auth/"
"""Doors whose examples name users; authentication is off here, and tests of its own go through them."""
EXAMPLES = [(title, example) for title, example in bodies() if NEED_USERS not in title]


def answer_schema(title: str, status: int) -> dict[str, Any]:
    """Return what the document says of an answer."""
    operation = dict(api.operations_of(DOCUMENT))[title]
    assert str(status) in operation["responses"], f"{title} answers {status}, which is not documented"
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    return {"components": DOCUMENT["components"], **schema}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 11


@pytest.mark.parametrize(
    ("title", "example"), EXAMPLES, ids=[f"{title} {i}" for i, (title, _) in enumerate(EXAMPLES)]
)
def test_every_example_is_accepted_and_its_answer_is_as_documented(stage: Stage, title: str, example: Any) -> None:
    answer = stage.send(title, example)
    assert 200 <= answer.status_code < 300, f"{title}: {answer.text}"
    jsonschema.Draft202012Validator(answer_schema(title, answer.status_code)).validate(answer.json())


# what is nearly an example, or nothing like it

TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "",
        " ",
        "\0",
        "a\nb",
        "\ud800",
        "x" * 300,
        "NaN",
        "1e999",
        "2024-01-01",
        "0000-13-45T99:99:99Z",
        "/",
        "..",
        SERIES,
    ]
)
NUMBERS = (
    st.integers(-5, 10)
    | st.integers()
    | st.floats()
    | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e308, -1e308, 5e-324, AT_S, AT_S * 1000, 4_102_444_801])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


@st.composite
def nearly(draw: st.DrawFn, example: Any) -> Any:
    """Return an example with one or two places changed, left out, or added."""
    changed = json.loads(json.dumps(example))
    for _ in range(draw(st.integers(1, 2))):
        node, depth = changed, draw(st.integers(0, 4))
        while isinstance(node, dict | list) and node:
            keys: list[Any] = sorted(node) if isinstance(node, dict) else list(range(len(node)))
            key = draw(st.sampled_from(keys))
            if depth == 0 or not isinstance(node[key], dict | list):
                change(node, key, draw(st.sampled_from(["set", "drop", "add", "repeat"])), draw(JSON), draw(TEXTS))
                break
            node, depth = node[key], depth - 1
    return changed


def change(node: Any, key: Any, how: str, value: Any, name: str) -> None:
    """Change one place of a body."""
    if how == "drop":
        del node[key]
    elif how == "set":
        node[key] = value
    elif isinstance(node, list):
        node.extend([node[key]] * 3 if how == "repeat" else [value])
    else:
        node[name] = value


CUT = st.builds(lambda body, at: json.dumps(body).encode()[:at], JSON, st.integers(0, 60))
TARGETS = sorted({title for title, _ in EXAMPLES if "promote" not in title})


def assert_no_fault_of_ours(answer: httpx.Response, title: str = "") -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        is_inference = title.partition(" ")[2].startswith(("/v1/", "/v2/"))
        assert answer.headers["content-type"] == f"application/{'' if is_inference else 'problem+'}json"
        assert answer.json()["code"]
        assert answer.json()["error" if is_inference else "detail"]
    else:
        json.loads(answer.content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("title", TARGETS)
def test_nothing_that_is_sent_breaks_it(stage: Stage, title: str) -> None:
    known = [example for of, example in EXAMPLES if of == title]
    sent = st.sampled_from(known).flatmap(nearly) | JSON | CUT | st.binary(max_size=40)

    @BUDGET
    @given(sent)
    def send(body: Any) -> None:
        assert_no_fault_of_ours(stage.send(title, body), title)

    send()


@given(version=TEXTS, body=JSON)
@BUDGET
def test_no_version_that_is_named_breaks_a_promotion(stage: Stage, version: str, body: Any) -> None:
    path = f"/api/v1/models/{SERIES}/versions/{quote(version, safe='', errors='replace')}/promote"
    sent = json.dumps(body).encode()
    assert_no_fault_of_ours(stage.http.post(path, content=sent, headers={"content-type": "application/json"}))


LISTS = (
    "anomalies",
    "series",
    "jobs",
    "fleets",
    "models",
    f"series/{SERIES}/points",
    f"series/{SERIES}/explanation",
    f"models/{SERIES}/metrics",
    "plot",
)
GOOD = st.sampled_from([SERIES, "1", "7", "1000", "2024-12-01T00:00:00Z", str(AT_S), "open", "json", "24h", "a:b"])
QUERIES = st.dictionaries(
    st.sampled_from(
        [
            "series_id",
            "from",
            "to",
            "at",
            "buckets",
            "limit",
            "cursor",
            "format",
            "window",
            "state",
            "label",
            "prefix",
        ]
    ),
    GOOD | SCALARS.map(str),
    max_size=4,
)


@given(path=st.sampled_from(LISTS), asked=QUERIES)
@settings(max_examples=300)
def test_no_query_breaks_a_list(stage: Stage, path: str, asked: dict[str, str]) -> None:
    if path == "plot":  # the numbers, not the picture of them
        asked = {"series_id": SERIES, "format": "json", **asked}
    query = "&".join(f"{name}={quote(value, safe='', errors='replace')}" for name, value in asked.items())
    answer = stage.http.get(f"/api/v1/{path}?{query}")
    if answer.headers["content-type"] != "image/png":
        assert_no_fault_of_ours(answer)


@given(name=TEXTS)
@BUDGET
def test_no_name_breaks_what_shows_one_thing(stage: Stage, name: str) -> None:
    written = quote(name, safe="", errors="replace")
    paths = [f"{room}/{written}" for room in ("series", "anomalies", "jobs", "fleets", "models", "models/fleets")]
    for path in (*paths, f"series/{written}/explanation", f"anomalies/{written}/explanation"):
        answer = stage.http.get(f"/api/v1/{path}", follow_redirects=True)
        assert_no_fault_of_ours(answer)


def test_after_all_that_it_is_well_and_the_work_goes_on(stage: Stage) -> None:
    until(lambda: stage.http.get("/health").json()["scoring_lag_rows"] == 0, "all points to be scored")
    assert stage.http.get("/health").json()["status"] == "ok"
    assert stage.train(ModelKey(Scope.SERIES, "pump/7")) == "v1"
