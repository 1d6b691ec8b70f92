"""Nothing in the repository is bound to one registry or to one machine."""

import re

import pytest

from tests.house.source import ROOT, tracked_files

HOSTS = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.com", "npm" + "js.org", "deb." + "debian.org")
HOST = re.compile("|".join(re.escape(host) for host in HOSTS))
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:home|root|Users|work|opt)/[A-Za-z.]")


def bound_lines(name: str, text: str) -> list[str]:
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if HOST.search(line):
            found.append(f"{name}:{number}: names the host of a package registry")
        if MACHINE_PATH.search(line):
            found.append(f"{name}:{number}: names a path of one machine")
    return found


def test_no_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    found: list[str] = []
    for name in tracked_files():
        data = (ROOT / name).read_bytes()
        if b"\0" not in data[:8192]:
            found += bound_lines(name, data.decode(errors="replace"))
    assert found == []


@pytest.mark.parametrize("line", [f"--index-url https://{host}/simple" for host in HOSTS])
def test_a_registry_host_is_caught(line: str) -> None:
    assert len(bound_lines("a", line)) == 1


@pytest.mark.parametrize(
    "line", ["x = '/ro" + "ot/x'", "cd /wo" + "rk/main", "(/ho" + "me/ana)", "/Us" + "ers/ana"]
)
def test_a_path_of_one_machine_is_caught(line: str) -> None:
    assert len(bound_lines("a", line)) == 1


@pytest.mark.parametrize("line", ["GET /api/v1/work/x", "var/home/x", "https://example.org/home/a", "tests/work/a"])
def test_other_paths_are_left_alone(line: str) -> None:
    assert bound_lines("a", line) == []
