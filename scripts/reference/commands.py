"""The page of all commands, as their own help describes them."""

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from atalaia.app.cli import app
from scripts.reference import markdown
from scripts.reference.markdown import code, table, type_text

MARKUP = re.compile(r"\[/?(?:[a-z ]+)?\](?!\()")


def page() -> str:
    """Return the page of the command ``atalaia``."""
    root = typer.main.get_command(app)
    lead = (
        "Data go to standard output, everything else to standard error. The exit code says what kind of problem "
        "there was, see [problems](problems.md)."
    )
    return markdown.page(
        "Commands", lead, [block for path, command in walk(root) for block in blocks(path, command)]
    )


def walk(command: Any, path: tuple[str, ...] = ("atalaia",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every visible command below `command` and the command itself, each with the words that call it."""
    yield path, command
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if not inner.hidden:
            yield from walk(inner, (*path, name))


def help_of(command: Any) -> str:
    """Return the help of a command as plain text, examples included."""
    parts = (part for part in (command.help, command.epilog) if part)
    text = "\n\n".join(str(part).replace("\b", "").partition("\f")[0].strip() for part in parts)
    return "\n".join(line.rstrip() for line in MARKUP.sub("", text).splitlines())


def blocks(path: tuple[str, ...], command: Any) -> list[str]:
    """Return heading, help, arguments and options of one command."""
    found = [f"## {' '.join(path)}", f"```text\n{help_of(command)}\n```"]
    rows = [row(parameter) for parameter in command.params if not parameter.hidden]
    rows = [cells for cells in rows if cells[0] != "`--help`"]
    return [*found, table(["Argument or option", "Type", "Default", "Meaning"], rows)] if rows else found


def row(parameter: Any) -> list[str]:
    """Return the cells of one argument or option."""
    argument = parameter.param_type_name == "argument"
    names = [parameter.name.upper()] if argument else [*parameter.opts, *parameter.secondary_opts]
    default = parameter.default if isinstance(parameter.default, bool | int | float | str) else None
    return [
        ", ".join(code(name) for name in names),
        type_of(parameter),
        code(default) if default not in (None, "") else ("required" if parameter.required else ""),
        MARKUP.sub("", parameter.help or ""),
    ]


def type_of(parameter: Any) -> str:
    """Return the words that may stand here, or the name of the type."""
    described = parameter.type_descriptor
    if described.is_choice:
        return ", ".join(code(getattr(choice, "value", choice)) for choice in described.choices)
    return type_text(described.annotation)
