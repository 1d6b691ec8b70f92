"""What is public says what it does."""

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import SRC, Function, parse, sins

Documented = Function | ast.ClassDef


def undocumented(name: str, text: str) -> list[str]:
    if "/migrations/" in name:
        return []
    tree = parse(text)
    missing = [] if ast.get_docstring(tree) or not tree.body else [f"{name}:1: the module has no docstring"]
    return missing + [
        f"{name}:{node.lineno}: {node.name} has no docstring"
        for node in public(tree.body)
        if not ast.get_docstring(node) and not is_stub(node)
    ]


def public(body: list[ast.stmt]) -> Iterator[Documented]:
    """Yield the public functions and classes of `body`, and the public methods of those classes."""
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_") and not repeats(node):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def repeats(node: Documented) -> bool:
    """Whether the node only adds to something that is documented elsewhere."""
    marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
    return bool(marks & {"overload", "override", "setter"})


def is_stub(node: Documented) -> bool:
    """Whether the body is nothing but ``...``, as in a Protocol."""
    return isinstance(node, Function) and len(node.body) == 1 and ast.unparse(node.body[0]) == "..."


def test_everything_public_has_a_docstring() -> None:
    assert sins(undocumented, SRC) == []


@pytest.mark.parametrize(
    "text",
    [
        '"""M."""\ndef f(): return 1',
        '"""M."""\nclass A:\n    x = 1',
        '"""M."""\nclass A:\n    """A."""\n    def f(self): return 1',
        '"""M."""\nasync def f(): return 1',
        "x = 1",
    ],
)
def test_a_missing_docstring_is_caught(text: str) -> None:
    assert len(undocumented("a.py", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"""M."""\ndef _f(): return 1',
        '"""M."""\nclass A:\n    """A."""\n    def f(self): ...',
        '"""M."""\ndef f():\n    """F."""\n    def g(): return 1\n    return g',
        "",
    ],
)
def test_private_names_stubs_and_inner_functions_need_none(text: str) -> None:
    assert undocumented("a.py", text) == []
