"""The commands that load the app, with the app replaced."""

import json
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


@dataclass
class Finding:
    check: str
    ok: bool
    detail: str
    advice: str


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace settings, embedded and demo; return what is called of them."""
    seen: list[Any] = []
    names = ("settings", "embedded", "diagnosis", "demo.run")
    settings, embedded, diagnosis, demo = (ModuleType(name) for name in names)
    settings.load_settings = lambda overrides: overrides  # pyright: ignore[reportAttributeAccessIssue]
    embedded.serve = lambda settings: seen.append(("serve", settings))  # pyright: ignore[reportAttributeAccessIssue]
    embedded.run_role = lambda settings, role: seen.append((role, settings))  # pyright: ignore[reportAttributeAccessIssue]
    diagnosis.diagnose = lambda settings: [Finding("python", True, "3.11", "")]  # pyright: ignore[reportAttributeAccessIssue]
    demo.Options = dict  # pyright: ignore[reportAttributeAccessIssue]
    demo.run_demo = lambda settings, options: seen.append((options, settings))  # pyright: ignore[reportAttributeAccessIssue]
    for module in (settings, embedded, diagnosis, demo):
        monkeypatch.setitem(sys.modules, f"atalaia.app.{module.__name__}", module)
    return seen


def test_up_passes_only_the_flags_that_were_given(service: "Service", calls: list[Any]) -> None:
    assert service.run("up").exit_code == 0
    assert service.run("up", "--port", "1").exit_code == 0
    assert calls == [("serve", {}), ("serve", {"port": 1})]


def test_run_names_the_role(service: "Service", calls: list[Any]) -> None:
    assert service.run("run", "worker", "--host", "127.0.0.1").exit_code == 0
    assert calls == [("worker", {"host": "127.0.0.1"})]


def test_demo_passes_its_options(service: "Service", calls: list[Any]) -> None:
    assert service.run("demo", "--no-serve", "--speed", "0", "--exit-after", "3").exit_code == 0
    assert calls[0][0] == {"speed": None, "keep_serving": False, "exit_after_s": 3.0}


def test_doctor_passes_when_all_is_well(service: "Service", calls: list[Any]) -> None:
    service.answers["GET /health"] = {"status": "ok"}
    result = service.run("doctor", "-o", "json")
    assert result.exit_code == 0
    assert [row["check"] for row in json.loads(result.stdout)["items"]] == ["python", "service"]


def test_doctor_fails_when_something_is_wrong(service: "Service", calls: list[Any]) -> None:
    result = service.run("doctor")
    assert result.exit_code == 1
    assert "start it with `atalaia up`" in result.stdout
