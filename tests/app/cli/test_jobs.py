"""``atalaia jobs watch`` and ``cancel``."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("cancelled", 4), ("failed", 1)])
def test_watching_a_job_ends_as_the_job_does(service: "Service", status: str, code: int) -> None:
    service.answers["GET /jobs/job_1"] = {"job_id": "job_1", "status": status}
    result = service.run("jobs", "watch", "job_1", "-o", "json")
    assert result.exit_code == code
    assert json.loads(result.stdout)["status"] == status


def test_a_job_is_cancelled(service: "Service") -> None:
    service.answers["DELETE /jobs/job_1"] = {"job_id": "job_1", "status": "cancelled"}
    assert service.run("jobs", "cancel", "job_1").exit_code == 0
