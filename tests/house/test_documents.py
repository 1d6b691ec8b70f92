"""Documents point at what exists, and show only commands that a test can run."""

import re
from fnmatch import fnmatch
from pathlib import PurePosixPath

import pytest

from tests.house.source import SRC, bash_lines, documents, read, tracked_files

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`([a-z_]+/[a-z0-9_/.-]*\*?)`")
ROOMS = ("src", "tests", "docs", "scripts", "bench")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
RUNNABLE = ("atalaia ", "curl ")


def broken_links(name: str, text: str, files: frozenset[str]) -> list[str]:
    """Say which relative links of a document lead nowhere, or to a heading that is not there."""
    found: list[str] = []
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        wanted = resolve(name, path) if path else name
        folder = any(file.startswith(wanted + "/") for file in files)
        if wanted not in files and not folder:
            found.append(f"{name}: {target} leads nowhere")
        elif anchor and anchor not in anchors(text if wanted == name else read(wanted)):
            found.append(f"{name}: {target} has no such heading")
    return found


def resolve(name: str, path: str) -> str:
    """Return the file that `path` means inside the document `name`, relative to the repository."""
    parts = list(PurePosixPath(name).parent.parts)
    for part in PurePosixPath(path).parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)


def anchors(text: str) -> set[str]:
    """Return the anchors that a Markdown renderer gives to the headings of `text`."""
    titles = (re.sub(r"[`*]", "", title).lower() for title in HEADING.findall(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def unrunnable_blocks(name: str, text: str) -> list[str]:
    """Say which lines of ``bash`` blocks are neither a command of ours, curl, nor the rest of one."""
    strange = [line for line in bash_lines(text) if not f"{line} ".startswith(RUNNABLE)]
    return [f"{name}: {line!r} cannot be run by a test; mark the block text" for line in strange]


def missing_paths(name: str, text: str, files: frozenset[str]) -> list[str]:
    """Say which paths of the repository a document names that are not there; `src/atalaia/` may be left out."""
    packages = {file.split("/")[2] for file in files if file.startswith(f"{SRC}/")}
    found: list[str] = []
    for path in PATH.findall(FENCE.sub("", text)):
        room = path.partition("/")[0]
        wanted = path if room in ROOMS else f"{SRC}/{path}" if room in packages else None
        if wanted and not any(fnmatch(file, wanted) or file.startswith(wanted.rstrip("/") + "/") for file in files):
            found.append(f"{name}: {path} is not there")
    return found


def test_every_path_that_a_document_names_is_there() -> None:
    files = frozenset(tracked_files())
    assert [sin for name in documents() for sin in missing_paths(name, read(name), files)] == []


def test_every_link_leads_somewhere() -> None:
    files = frozenset(tracked_files())
    assert [sin for name in documents() for sin in broken_links(name, read(name), files)] == []


def test_every_bash_block_can_be_run() -> None:
    assert [sin for name in documents() for sin in unrunnable_blocks(name, read(name))] == []


def test_every_page_is_reachable_from_its_index() -> None:
    linked = {resolve(name, link.partition("#")[0]) for name in documents() for link in LINK.findall(read(name))}
    pages = {name for name in documents() if name.startswith("docs/")} - {"docs/README.md"}
    assert sorted(pages - linked) == []


def test_a_link_to_nowhere_is_caught() -> None:
    files = frozenset({"docs/a.md", "docs/b/c.md"})
    assert broken_links("docs/b/c.md", "[a](../a.md) [b](../b) [w](https://example.org)", files) == []
    assert broken_links("docs/b/c.md", "[a](../no.md)", files) == ["docs/b/c.md: ../no.md leads nowhere"]
    assert broken_links("docs/a.md", "```text\n[a](no.md)\n```\n", files) == []


def test_a_link_to_a_missing_heading_is_caught() -> None:
    files = frozenset({"docs/a.md"})
    text = "# What `make run` does\n[a](#what-make-run-does) [b](#nothing)"
    assert broken_links("docs/a.md", text, files) == ["docs/a.md: #nothing has no such heading"]


def test_a_path_that_is_not_there_is_caught() -> None:
    files = frozenset({"src/atalaia/kit/database.py", "tests/house/test_size.py"})
    good = "`kit/database.py` `src/atalaia/kit` `tests/house/` `kit/data*` `var/demo` `application/problem+json`"
    assert missing_paths("a.md", good, files) == []
    assert missing_paths("a.md", "`kit/gone.py` `tests/gone/`", files) == [
        "a.md: kit/gone.py is not there",
        "a.md: tests/gone/ is not there",
    ]


@pytest.mark.parametrize("line", ["rm -rf /", "pip install atalaia", "atalaiad up"])
def test_a_block_that_cannot_be_run_is_caught(line: str) -> None:
    assert len(unrunnable_blocks("docs/a.md", f"```bash\n{line}\n```\n")) == 1


def test_commands_over_several_lines_and_comments_can_be_run() -> None:
    text = "```bash\n# first\natalaia series list\ncurl -s \\\n  http://127.0.0.1:8460/health\n```\n"
    assert unrunnable_blocks("docs/a.md", text) == []
    assert unrunnable_blocks("docs/a.md", "```text\nrm -rf /\n```\n") == []
