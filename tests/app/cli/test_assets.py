"""``atalaia assets``."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atalaia.app.cli.assets import read_moments
from atalaia.core.errors import AtalaiaError

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

ASSET = {"asset_id": "press 3", "sensor_count": 2, "production_version": "v1", "latest_version": "v2"}
SENSOR = {"series_id": "flow", "is_member": True, "is_learnt": False, "points": 7, "missing": "more moments"}
OFF = {"series_id": "flow", "score": 4.0, "seen": 31.2, "expected": 20.0, "lower": 18.0, "upper": 22.0}
MOMENT = {"timestamp": "2026-11-20T10:00:00Z", "score": 2.5, "is_anomaly": True, "sensors": [OFF], "missing": []}


def test_assets_are_listed(service: "Service") -> None:
    service.answers["GET /assets"] = {"items": [ASSET], "next": None}
    assert "press 3" in service.run("assets", "list").stdout


def test_an_asset_shows_its_sensors(service: "Service") -> None:
    detail = {**ASSET, "algorithm": "relations", "step_s": 60.0, "is_ready": True, "sensors": [SENSOR]}
    service.answers["GET /assets/press%203"] = detail
    result = service.run("assets", "show", "press 3")
    assert "more moments" in result.stdout
    assert "v1 in Production (relations), a moment every 60 s" in result.stderr
    assert '"step_s"' in service.run("assets", "show", "press 3", "-o", "json").stdout


def test_readings_are_scored(service: "Service") -> None:
    service.answers["POST /assets/press%203/score"] = {"asset_id": "press 3", "moments": [MOMENT]}
    result = service.run("assets", "score", "press 3", "flow=31.2", "heat=-7", "--at", "2026-11-20T10:00:00Z")
    assert "31.2" in result.stdout
    (body,) = service.sent("POST")
    assert body == {"moments": [{"timestamp": "2026-11-20T10:00:00Z", "values": {"flow": 31.2, "heat": -7.0}}]}


def test_a_file_of_moments_is_scored(service: "Service", tmp_path: Path) -> None:
    service.answers["POST /assets/press%203/score"] = {"asset_id": "press 3", "moments": [MOMENT]}
    file = tmp_path / "run.csv"
    file.write_text("time,flow,heat\n2026-11-20T10:00:00Z,1,2\n2026-11-20T10:01:00Z,,3\n")
    assert service.run("assets", "score", "press 3", "--file", str(file)).exit_code == 0
    (body,) = service.sent("POST")
    assert [one["values"] for one in body["moments"]] == [{"flow": 1.0, "heat": 2.0}, {"flow": None, "heat": 3.0}]


@pytest.mark.parametrize("said", [(), ("flow=1", "--file", "x.csv"), ("flow",), ("flow=wet",)])
def test_what_cannot_be_meant_is_refused(service: "Service", said: tuple[str, ...]) -> None:
    assert service.run("assets", "score", "press 3", *said).exit_code != 0
    assert not service.sent("POST")


@pytest.mark.parametrize(
    "text",
    ["", "time,flow", "time\n1", "time,a,a\n1,2,3", "time,a\n1", "time,a\nsoon,1", "time,a\n1,x", "\x00", "\udcff"],
)
def test_a_file_that_holds_no_moments_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.csv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(AtalaiaError):
        read_moments(file)


def test_a_file_that_is_not_there_or_huge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AtalaiaError, match="No such file"):
        read_moments(tmp_path / "none.csv")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(1 << 25)
    with pytest.raises(AtalaiaError, match="larger"):
        read_moments(tmp_path / "huge.csv")
