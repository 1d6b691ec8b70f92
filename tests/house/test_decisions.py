"""Every decision has one page of one form, and the index knows it."""

import re

import pytest

from tests.house.source import documents, read

FOLDER = "docs/decisions/"
HEADINGS = ["Context", "Decision", "Consequences", "What enforces it"]
MAX_LINES = 60


def wrong_form(name: str, text: str) -> list[str]:
    found: list[str] = []
    number = name.removeprefix(FOLDER)[:4]
    if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name.removeprefix(FOLDER)):
        found.append(f"{name}: is not named NNNN-words.md")
    if not text.startswith(f"# {number}. "):
        found.append(f"{name}: the title does not begin with '# {number}. '")
    for line in ("Status", "Area"):
        if not re.search(rf"^- {line}: \S", text, re.MULTILINE):
            found.append(f"{name}: has no line '- {line}: ...'")
    if re.findall(r"^## (.+)$", text, re.MULTILINE) != HEADINGS:
        found.append(f"{name}: its headings are not {', '.join(HEADINGS)}")
    if len(text.splitlines()) > MAX_LINES:
        found.append(f"{name}: is longer than a page ({MAX_LINES} lines)")
    return found


def gaps(names: list[str]) -> list[str]:
    """Say which numbers are missing or used twice."""
    numbers = [name.removeprefix(FOLDER)[:4] for name in names]
    wanted = [f"{n:04}" for n in range(1, len(numbers) + 1)]
    return [] if numbers == wanted else [f"the numbers are not 0001 to {wanted[-1]} without a gap: {numbers}"]


def records() -> list[str]:
    return [name for name in documents() if name.startswith(FOLDER) and not name.endswith("README.md")]


def test_every_record_has_the_one_form() -> None:
    assert [sin for name in records() for sin in wrong_form(name, read(name))] == []


def test_the_numbers_run_without_a_gap() -> None:
    assert gaps(records()) == []


def test_the_index_lists_every_record_with_its_title() -> None:
    index = read(f"{FOLDER}README.md")
    titles = {name.removeprefix(FOLDER): read(name).splitlines()[0].partition(". ")[2] for name in records()}
    assert [file for file, title in titles.items() if f"[{title}]({file})" not in index] == []


RECORD = """# 0001. A title

- Status: accepted
- Area: house

## Context
## Decision
## Consequences
## What enforces it
"""


def test_a_record_of_the_one_form_passes() -> None:
    assert wrong_form("docs/decisions/0001-a-title.md", RECORD) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("0001-a-title.md", RECORD.replace("## Context\n", "")),
        ("0001-a-title.md", RECORD.replace("- Status: accepted", "")),
        ("0001-a-title.md", RECORD + "\n" * 60),
        ("0002-a-title.md", RECORD),
        ("0001-A_title.md", RECORD),
    ],
)
def test_another_form_is_caught(name: str, text: str) -> None:
    assert len(wrong_form(FOLDER + name, text)) == 1


def test_a_gap_is_caught() -> None:
    assert gaps([f"{FOLDER}0001-a.md", f"{FOLDER}0002-b.md"]) == []
    assert len(gaps([f"{FOLDER}0001-a.md", f"{FOLDER}0003-b.md"])) == 1
    assert len(gaps([f"{FOLDER}0001-a.md", f"{FOLDER}0001-b.md"])) == 1
