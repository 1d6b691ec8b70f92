"""One request or one task is one transaction, and only the kit ends it."""

import ast

import pytest

from tests.house.source import SRC, parse, sins


def stray_commits(name: str, text: str) -> list[str]:
    if name.startswith(f"{SRC}/kit/"):
        return []
    return [
        f"{name}:{node.lineno}: .commit() outside the kit"
        for node in ast.walk(parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
    ]


def test_only_the_kit_commits() -> None:
    assert sins(stray_commits, "src") == []


@pytest.mark.parametrize("call", ["session.commit()", "self._db.session().commit()", "with a: b.commit()"])
def test_a_stray_commit_is_caught(call: str) -> None:
    assert len(stray_commits("src/atalaia/signals/store.py", call)) == 1


def test_the_kit_may_commit() -> None:
    assert stray_commits("src/atalaia/kit/database.py", "session.commit()") == []
