"""``atalaia waves``."""

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

REF = {"wave_id": "wave_1", "fleets": 2, "left_out": [], "status_url": "/api/v1/training/waves/wave_1"}


def fleet(name: str, status: str = "completed", **more: Any) -> dict[str, Any]:
    version = "v1" if status == "completed" else None
    return {
        "fleet_id": name,
        "status": status,
        "version": version,
        "series": 4_096,
        "job_id": f"job_{name}",
        **more,
    }


def wave(*fleets: dict[str, Any], **more: Any) -> dict[str, Any]:
    counts = [one["status"] for one in fleets]
    return {
        "wave_id": "wave_1",
        "promote": True,
        "progress": 1.0,
        "waiting": counts.count("queued"),
        "completed": counts.count("completed"),
        "failed": counts.count("failed"),
        "series": 8_192,
        "points": 82_575_360,
        "created_at": "2026-11-20T10:00:00Z",
        "finished_at": "2026-11-20T10:20:34Z",
        "promoted_at": "2026-11-20T10:20:34Z",
        "fleets": list(fleets),
        **more,
    }


DONE = wave(fleet("a"), fleet("b"))
GOING = wave(fleet("a"), fleet("b", "queued"), progress=0.5, finished_at=None, promoted_at=None)
FAILED = wave(fleet("a"), fleet("b", "failed", error="it burns"), promoted_at=None)


def test_a_wave_of_all_is_started_with_its_settings(service: "Service") -> None:
    service.answers["POST /training/waves"] = REF
    result = service.run("waves", "start", "--algorithm", "streaming", "--set", "rarity_points=9", "--promote")
    assert result.exit_code == 0
    assert "atalaia waves watch wave_1" in result.stderr
    config = {"algorithm": "streaming", "hyperparameters": {"rarity_points": 9}}
    assert service.sent("POST") == [{"promote": True, "config": config}]


def test_a_wave_of_some_fleets_says_which_were_left_out(service: "Service") -> None:
    service.answers["POST /training/waves"] = REF | {"left_out": ["c"]}
    result = service.run(
        "waves", "start", "--fleet", "a", "--fleet", "b", "--fleet", "c", "--priority", "9", "-o", "json"
    )
    assert json.loads(result.stdout)["left_out"] == ["c"]
    assert "Left out, being trained or trained a moment ago: c." in result.stderr
    assert service.sent("POST") == [{"promote": False, "fleets": ["a", "b", "c"], "config": {}, "priority": 9}]


def test_a_wave_is_waited_for_and_summed_up(service: "Service", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    service.answers["POST /training/waves"] = REF
    service.answers["GET /training/waves/wave_1"] = [GOING, DONE]
    result = service.run("waves", "start", "--promote", "--wait", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == DONE
    assert result.stderr == "Trained 8,192 series on 82,575,360 points in 1,234 s.\n"


def test_a_wave_with_a_failed_fleet_fails_and_says_what_to_do(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = FAILED
    result = service.run("waves", "watch", "wave_1")
    assert result.exit_code == 4
    assert "1 of 2 trainings did not end well: b failed: it burns [wave_not_done]" in result.stderr
    assert "atalaia waves retry wave_1" in result.stderr


def test_a_wave_that_was_not_promoted_as_asked_fails(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = DONE | {"promoted_at": None}
    result = service.run("waves", "watch", "wave_1")
    assert result.exit_code == 4
    assert "could not be promoted by itself" in result.stderr


def test_fleets_without_points_are_counted(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = DONE | {"empty": 3}
    assert "; 3 fleets had no points in the window." in service.run("waves", "watch", "wave_1").stderr


def test_a_wave_is_shown_as_a_whole_or_fleet_by_fleet(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = FAILED
    assert "8192" in service.run("waves", "show", "wave_1").stdout
    rows = service.run("waves", "show", "wave_1", "--fleets", "-o", "csv").stdout.splitlines()
    assert [row.split(",")[0] for row in rows] == ["fleet_id", "a", "b"]
    assert rows[2].endswith("job_b,it burns")


def test_failed_trainings_are_queued_again(service: "Service") -> None:
    service.answers["POST /training/waves/wave_1/retry"] = REF | {"fleets": 1}
    service.answers["GET /training/waves/wave_1"] = DONE
    assert json.loads(service.run("waves", "retry", "wave_1", "-o", "json").stdout)["fleets"] == 1
    assert json.loads(service.run("waves", "retry", "wave_1", "--wait", "-o", "json").stdout) == DONE


def test_a_wave_is_promoted_after_an_answer(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = DONE
    service.answers["POST /training/waves/wave_1/promote"] = DONE
    result = service.run("waves", "promote", "wave_1", "-o", "json", text="y\n")
    assert (result.exit_code, json.loads(result.stdout)) == (0, DONE)
    assert "8,192 series of 2 fleets go to Production at once." in result.stderr
    assert service.sent("POST") == [{"skip_failed": False}]


def test_a_promotion_of_a_wave_that_is_not_agreed_to_changes_nothing(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = DONE
    assert service.run("waves", "promote", "wave_1", text="n\n").exit_code == 1
    assert not service.sent("POST")


def test_a_dry_run_of_a_promotion_prints_the_versions_only(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = FAILED
    result = service.run("waves", "promote", "wave_1", "--skip-failed", "--dry-run", "-o", "csv")
    assert result.stdout == "fleet_id,version,series\na,v1,4096\n"
    assert not service.sent("POST")


def test_failed_fleets_are_left_out_only_on_purpose(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = FAILED
    service.answers["POST /training/waves/wave_1/promote"] = DONE
    assert service.run("waves", "promote", "wave_1", "--yes").exit_code == 4
    result = service.run("waves", "promote", "wave_1", "--yes", "--skip-failed")
    assert (result.exit_code, service.sent("POST")) == (0, [{"skip_failed": True}])
    assert "8,192 series of 1 fleets go to Production at once; 1 that failed keep what they have." in result.stderr


def test_a_wave_that_goes_on_is_not_promoted(service: "Service") -> None:
    service.answers["GET /training/waves/wave_1"] = GOING
    result = service.run("waves", "promote", "wave_1", "--yes", "--skip-failed")
    assert (result.exit_code, service.sent("POST")) == (4, [])
