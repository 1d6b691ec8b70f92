"""The page of the API, and the snapshot of the OpenAPI document that it is made from."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from atalaia.app.server import openapi_document
from scripts.reference import markdown
from scripts.reference.markdown import code, first_line, table

METHODS = ("get", "post", "put", "patch", "delete")


def snapshot() -> str:
    """Return the OpenAPI document, written the one way."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def page() -> str:
    """Return the page of every operation."""
    return page_of(openapi_document())


def page_of(document: dict[str, Any]) -> str:
    """Return the page of `document`."""
    operations = list(operations_of(document))
    overview = table(
        ["Operation", "What it does"],
        [[f"[{code(title)}](#{anchor(title)})", summary(operation)] for title, operation in operations],
    )
    details = [block for title, operation in operations for block in blocks(title, operation, document)]
    lead = (
        "The running service shows the same at `/docs`; the machine-readable document is "
        "[openapi.json](openapi.json). Errors are [problems](problems.md)."
    )
    return markdown.page("API", lead, [overview, *details])


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``METHOD /path`` and the operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def anchor(title: str) -> str:
    """Return the anchor that a Markdown renderer gives to a heading."""
    kept = (c for c in title.lower() if c.isalnum() or c in "-_ ")
    return "".join(kept).replace(" ", "-")


def summary(operation: dict[str, Any]) -> str:
    """Return the one line that says what an operation does."""
    return first_line(operation.get("description")) or operation.get("summary", "")


def blocks(title: str, operation: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Return everything about one operation."""
    found = [f"## {code(title)}", operation.get("description") or operation.get("summary", "")]
    parameters = [resolve(parameter, document) for parameter in operation.get("parameters", [])]
    if parameters:
        rows = [
            [code(p["name"]), p["in"], type_of(p.get("schema", {})), p.get("description", "")] for p in parameters
        ]
        found.append(table(["Parameter", "In", "Type", "Meaning"], rows))
    body = resolve(operation.get("requestBody", {}), document)
    found += examples("Body", body.get("content", {}), document)
    for status, answer in operation.get("responses", {}).items():
        found += answers(status, resolve(answer, document), document)
    return [block for block in found if block]


def answers(status: str, answer: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Return one line for an answer, with an example for the good ones."""
    phrase = answer.get("description") or HTTPStatus(int(status)).phrase
    line = f"Answers {status}: {phrase.rstrip('.')}."
    shown = examples(line, answer.get("content", {}), document) if status.startswith("2") else []
    return shown or [line]


def examples(title: str, content: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Return the first JSON example of a body or an answer, under `title`."""
    for media, described in content.items():
        for example in examples_of(described, document):
            text = json.dumps(example, indent=2, ensure_ascii=False)
            return [title, f"```json\n{text}\n```"] if "json" in media else [f"{title} ({code(media)})"]
    return [f"{title} ({', '.join(map(code, content))})"] if content else []


def examples_of(described: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """Return every example of a media type: its own, then those of its schema."""
    own = [described["example"]] if "example" in described else []
    own += [named["value"] for named in described.get("examples", {}).values()]
    schema = resolve(described.get("schema", {}), document)
    choices = [
        schema,
        *(resolve(choice, document) for kind in ("anyOf", "oneOf") for choice in schema.get(kind, [])),
    ]
    return own + [example for choice in choices for example in choice.get("examples", [])]


def type_of(schema: dict[str, Any]) -> str:
    """Return the type of a parameter in a word or two."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    names = [
        ", ".join(map(code, o["enum"])) if "enum" in o else o.get("format", o.get("type", "")) for o in options
    ]
    return " or ".join(name or o.get("$ref", "").rpartition("/")[2] for name, o in zip(names, options, strict=True))


def resolve(node: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference points at, or `node` itself."""
    found = node
    while "$ref" in found:
        target: Any = document
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        found = target
    return found
