"""Every command of ``atalaia`` explains itself, and shows how it is used."""

import re
import shlex
from typing import Any

import pytest
import typer
import typer.main

from atalaia.app.cli import app
from scripts.reference.commands import help_of, walk
from tests.house.source import bash_lines, documents, read

EXAMPLE = re.compile(r"^\s*(?:\$ )?atalaia\b", re.MULTILINE)


def poor_help(path: str, text: str) -> list[str]:
    """Say so if a help says nothing, or does not end with two examples."""
    lead, _, examples = text.partition("Examples")
    found = [] if lead.strip() else [f"{path}: the help does not say what the command does"]
    count = len(EXAMPLE.findall(examples))
    return found + ([] if count >= 2 else [f"{path}: the help ends with {count} examples, at least two are wanted"])


def silent_parameters(path: str, command: Any) -> list[str]:
    silent = [p.name for p in command.params if p.name != "help" and not getattr(p, "help", None)]
    return [f"{path}: {name} has no help" for name in silent]


def unknown_words(line: str, root: Any) -> list[str]:
    """Say which command or option of an ``atalaia ...`` line does not exist."""
    command, _, *words = (root, *shlex.split(line))
    while words and words[0] in (inner := getattr(command, "commands", {})):
        command = inner[words.pop(0)]
    if getattr(command, "commands", {}) and (not words or set(words) - {"--help", "--version"}):
        return [f"{line}: {' '.join(words) or 'a command'} is not there"]
    known = {"--help", *(name for p in (*root.params, *command.params) for name in (*p.opts, *p.secondary_opts))}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [f"{line}: {option} is not there" for option in options if option not in known]


def test_every_example_and_every_documented_command_exists() -> None:
    root = typer.main.get_command(app)
    helps = [line for _, command in walk(root) for line in help_of(command).splitlines()]
    lines = [line.strip().removeprefix("$ ") for line in helps]
    lines += [line for name in documents() for line in bash_lines(read(name))]
    assert [sin for line in lines if line.startswith("atalaia ") for sin in unknown_words(line, root)] == []


def test_every_help_ends_with_two_examples() -> None:
    root = typer.main.get_command(app)
    assert [sin for path, command in walk(root) for sin in poor_help(" ".join(path), help_of(command))] == []


def test_every_argument_and_option_has_help() -> None:
    root = typer.main.get_command(app)
    assert [sin for path, command in walk(root) for sin in silent_parameters(" ".join(path), command)] == []


@pytest.mark.parametrize(
    "text", ["Lists.", "Lists.\n\nExamples\n  atalaia jobs list", "Examples:\n atalaia a\n atalaia b", "atalaia a"]
)
def test_a_poor_help_is_caught(text: str) -> None:
    assert len(poor_help("atalaia jobs list", text)) == 1


def test_a_good_help_passes() -> None:
    text = "Lists jobs.\n\nExamples:\n\n  atalaia jobs list\n\n  $ atalaia jobs list --output json"
    assert poor_help("atalaia jobs list", text) == []


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("atalaia jobs banana", "banana is not there"),
        ("atalaia banana --help", "banana --help is not there"),
        ("atalaia jobs list --banana", "--banana is not there"),
        ("atalaia jobs", "a command is not there"),
    ],
)
def test_a_command_that_does_not_exist_is_caught(line: str, missing: str) -> None:
    assert unknown_words(line, typer.main.get_command(app)) == [f"{line}: {missing}"]


def test_a_negative_number_is_no_option() -> None:
    assert unknown_words("atalaia predict 'pump 7' -3.5 --at 2026-11-20", typer.main.get_command(app)) == []


def test_a_parameter_without_help_is_caught() -> None:
    sinful = typer.Typer()

    @sinful.command()
    def show(name: str, limit: int = typer.Option(3, help="How many.")) -> None:
        """Show."""

    assert silent_parameters("atalaia", typer.main.get_command(sinful)) == ["atalaia: name has no help"]
