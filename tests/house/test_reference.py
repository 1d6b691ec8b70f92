"""The reference says what the code says: nothing is missing, nothing is stale."""

from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from atalaia.app.settings import Settings
from atalaia.core.facts import FACTS
from atalaia.core.problems import PROBLEMS
from atalaia.kit.telemetry import METRICS
from scripts import generate_reference
from scripts.reference.settings import page_of, settings_of
from tests.house.source import ROOT, read

REFERENCE = ROOT / "docs" / "reference"


def undocumented(names: list[str], page: str) -> list[str]:
    return [name for name in names if f"`{name}`" not in page and f"### {name}\n" not in page]


def test_every_page_is_what_the_code_says() -> None:
    assert generate_reference.stale(REFERENCE) == []


def test_every_setting_is_documented() -> None:
    settings = settings_of(Settings)
    assert (
        undocumented(
            [setting.variable for setting in settings if setting.variable], read("docs/reference/settings.md")
        )
        == []
    )


def test_every_metric_is_documented() -> None:
    assert undocumented([metric.name for metric in METRICS], read("docs/reference/metrics.md")) == []


def test_every_fact_is_documented() -> None:
    assert undocumented(list(FACTS), read("docs/reference/facts.md")) == []


def test_every_problem_is_documented() -> None:
    assert undocumented(list(PROBLEMS), read("docs/reference/problems.md")) == []


def test_something_undocumented_is_caught() -> None:
    assert undocumented(["a", "b", "c"], "`a`\n### b\n") == ["c"]


def test_a_stale_page_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_reference, "PAGES", {"a.md": lambda: "new\n", "b.md": lambda: "same\n"})
    (tmp_path / "a.md").write_text("old\n")
    (tmp_path / "b.md").write_text("same\n")
    difference = generate_reference.stale(tmp_path)
    assert difference[0] == "docs/reference/a.md is stale; run `make docs`"
    assert {"-old", "+new"} <= set(difference)
    assert not any("b.md" in line for line in difference)


class Inner(BaseModel):
    """What the inner part needs."""

    size_bytes: int = Field(default=7, description="How big.")


class Outer(BaseModel):
    """Everything."""

    name: str | None = Field(default=None, description="What it is called.")
    inner: Inner = Field(default_factory=Inner)
    rules: tuple[Inner, ...] = Field(default=(), description="What applies.")


def test_settings_are_found_in_every_section() -> None:
    page = page_of(Outer)
    assert "## `[inner]`" in page
    assert "| `size_bytes` | `INNER__SIZE_BYTES` | `int` | `7` | How big. |" in page
    assert "| `rules` | `RULES` | `tuple[Inner, ...]` | `[]` | What applies. |" in page
    assert "| `rules[] size_bytes` |  | `int` | `7` | How big. |" in page
    assert "| `name` | `NAME` | `str \\| None` | `none` | What it is called. |" in page


def test_a_setting_without_a_description_is_caught() -> None:
    class Silent(BaseModel):
        size_bytes: int = 7

    with pytest.raises(ValueError, match="size_bytes"):
        settings_of(Silent)
