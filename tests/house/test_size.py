"""A reader can hold every file and every function in mind."""

from tests.house.source import ALL_CODE, functions, sins

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def oversized_file(name: str, text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{name}: {lines} lines, at most {MAX_FILE_LINES}"] if lines > MAX_FILE_LINES else []


def oversized_functions(name: str, text: str) -> list[str]:
    if "/migrations/versions/" in name:  # drafted by Alembic: a list of steps, read once
        return []
    return [
        f"{name}:{function.lineno}: {function.name} has {length} lines, at most {MAX_FUNCTION_LINES}"
        for function in functions(text)
        if (length := (function.end_lineno or function.lineno) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]


def test_no_file_is_too_long() -> None:
    assert sins(oversized_file, *ALL_CODE) == []


def test_no_function_is_too_long() -> None:
    assert sins(oversized_functions, *ALL_CODE) == []


def test_a_file_of_401_lines_is_caught_and_one_of_400_is_not() -> None:
    assert oversized_file("a.py", "x = 1\n" * 401) == ["a.py: 401 lines, at most 400"]
    assert oversized_file("a.py", "x = 1\n" * 400) == []


def test_a_function_of_61_lines_is_caught_and_one_of_60_is_not() -> None:
    assert oversized_functions("a.py", "def f():\n" + "    x = 1\n" * 60) == ["a.py:1: f has 61 lines, at most 60"]
    assert oversized_functions("a.py", "async def f():\n" + "    x = 1\n" * 59) == []


def test_a_long_method_and_a_long_nested_function_are_caught() -> None:
    method = "class A:\n    def f(self):\n" + "        x = 1\n" * 60
    nested = "def f():\n    def g():\n" + "        x = 1\n" * 60
    assert len(oversized_functions("a.py", method)) == 1
    assert len(oversized_functions("a.py", nested)) == 2
