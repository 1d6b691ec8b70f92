"""Modules are named after what they hold, and a test after the module that it tests."""

from pathlib import PurePosixPath

import pytest

from tests.house.source import ALL_CODE, python_files

BANNED = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "managers"})
NOT_MIRRORS = frozenset({"contracts", "faults", "journeys", "services", "house"})
OTHER_ROOTS = frozenset({"bench", "scripts"})


def banned_parts(name: str) -> list[str]:
    words = [part.strip("_") for part in PurePosixPath(name).with_suffix("").parts]
    return [f"{name}: nothing is named {word!r}; name it after what it holds" for word in words if word in BANNED]


def missing_source(test: str, sources: tuple[str, ...]) -> list[str]:
    """Say so if no module in the mirrored folder, or below it, bears the name of the test file."""
    _, *folders, file = PurePosixPath(test).parts
    if not file.startswith("test_") or folders[:1] and folders[0] in NOT_MIRRORS:
        return []
    prefix = [] if folders[:1] and folders[0] in OTHER_ROOTS else ["src", "atalaia"]
    room = "/".join([*prefix, *folders]) + "/"
    module = file.removeprefix("test_").removesuffix(".py")
    wanted = (f"/{module}.py", f"/{module}/__init__.py")
    found = any(source.startswith(room) and f"/{source.removeprefix(room)}".endswith(wanted) for source in sources)
    return [] if found else [f"{test}: there is no module {module!r} in {room}"]


def test_no_module_or_package_is_a_drawer() -> None:
    assert [sin for name in python_files(*ALL_CODE) for sin in banned_parts(name)] == []


def test_every_test_file_mirrors_a_module() -> None:
    sources = python_files("src", "bench", "scripts")
    assert [sin for name in python_files("tests") for sin in missing_source(name, sources)] == []


@pytest.mark.parametrize("name", ["src/atalaia/kit/utils.py", "src/atalaia/common/x.py", "tests/_helpers.py"])
def test_a_drawer_is_caught(name: str) -> None:
    assert len(banned_parts(name)) == 1


def test_a_name_that_only_contains_a_banned_word_is_allowed() -> None:
    assert banned_parts("src/atalaia/kit/database.py") == []


@pytest.mark.parametrize(
    "test",
    [
        "tests/kit/test_jobs.py",
        "tests/kit/test_problems.py",
        "tests/kit/web/test_problems.py",
        "tests/kit/test_web.py",
    ],
)
def test_a_mirror_is_recognised(test: str) -> None:
    sources = ("src/atalaia/kit/jobs.py", "src/atalaia/kit/web/__init__.py", "src/atalaia/kit/web/problems.py")
    assert missing_source(test, sources) == []


@pytest.mark.parametrize("test", ["tests/kit/test_nothing.py", "tests/core/test_jobs.py", "tests/kit/test_obs.py"])
def test_a_test_of_nothing_is_caught(test: str) -> None:
    assert len(missing_source(test, ("src/atalaia/kit/jobs.py",))) == 1


def test_journeys_and_laws_need_no_mirror() -> None:
    assert missing_source("tests/journeys/test_first_day.py", ()) == []
