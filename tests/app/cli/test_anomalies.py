"""``atalaia anomalies feedback``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


def test_feedback_is_given(service: "Service") -> None:
    service.answers["POST /anomalies/ano_1/feedback"] = {"kind": "noise", "note": "x"}
    assert service.run("anomalies", "feedback", "ano_1", "noise", "--note", "x").exit_code == 0
    assert service.sent("POST") == [{"kind": "noise", "note": "x"}]
