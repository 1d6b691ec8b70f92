"""The page of all settings, read from the models that validate them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from atalaia.app.settings import Settings
from scripts.reference import markdown
from scripts.reference.markdown import code, first_line, table, type_text


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of the settings: where it stands in the file, how the environment names it, what it means."""

    key: str
    variable: str
    type: str
    default: str
    description: str


def page_of(model: type[BaseModel]) -> str:
    """Return the page of `model`, one table for each section of the file."""
    lead = (
        "Read once at the start, from `atalaia.toml` and from the environment; the environment wins. "
        "The headings below are the sections of the file."
    )
    groups: dict[str, list[Setting]] = {}
    for setting in settings_of(model):
        groups.setdefault(setting.key.rpartition(".")[0], []).append(setting)
    blocks = [block for section, members in groups.items() for block in section_blocks(model, section, members)]
    return markdown.page("Settings", lead, blocks)


def section_blocks(model: type[BaseModel], section: str, members: list[Setting]) -> list[str]:
    """Return heading, sentence and table of one section."""
    rows = [
        [
            code(s.key.rpartition(".")[2]),
            code(s.variable) if s.variable else "",
            code(s.type),
            code(s.default),
            s.description,
        ]
        for s in members
    ]
    about = first_line(section_model(model, section).__doc__)
    heading = f"## {code(f'[{section}]')}" if section else "## At the top of the file"
    return [heading, *([about] if about else []), table(["Key", "Environment", "Type", "Default", "Meaning"], rows)]


def section_model(model: type[BaseModel], section: str) -> type[BaseModel]:
    """Return the model that validates `section`."""
    for name in section.split(".") if section else []:
        model = nested(model.model_fields[name]) or model
    return model


def settings_of(model: type[BaseModel]) -> list[Setting]:
    """Return every leaf of `model`.

    Raises
    ------
    ValueError
        If a setting has no description.
    """
    config: dict[str, Any] = dict(model.model_config)
    prefix, delimiter = config.get("env_prefix", ""), config.get("env_nested_delimiter") or "__"
    leaves = list(walk(model, ()))
    silent = [".".join(path) for path, field in leaves if not field.description]
    if silent:
        raise ValueError(f"settings without a description: {', '.join(silent)}")
    return [
        Setting(
            key=".".join(path),
            variable="" if "[]" in ".".join(path) else f"{prefix}{delimiter.join(path)}".upper(),
            type=type_text(field.annotation),
            default=default_text(field),
            description=field.description or "",
        )
        for path, field in leaves
    ]


def walk(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield path and field of every leaf; what stands at the top of a section comes before its sections."""
    deeper: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        inner = nested(field)
        if inner is None:
            yield (*above, name), field
            for item, part in walk(listed, ()) if (listed := listed_model(field)) else ():
                yield (*above, f"{name}[] {'.'.join(item)}"), part
        else:
            deeper.append((name, inner))
    for name, inner in deeper:
        yield from walk(inner, (*above, name))


def nested(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model behind a field that is a section."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def listed_model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model behind a field that is a list of them."""
    models = [a for a in get_args(field.annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
    return models[0] if models else None


def default_text(field: FieldInfo) -> str:
    """Return the default as the settings file would write it."""
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    value = value.value if isinstance(value, Enum) else value
    if value is None:
        return "none"
    return json.dumps(value, default=str, ensure_ascii=False)


def page() -> str:
    """Return the page of Atalaia's settings."""
    return page_of(Settings)
