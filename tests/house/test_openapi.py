"""The API is documented by examples that it accepts, and its document changes only on purpose."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from atalaia.app.server import openapi_document
from scripts.reference import api
from tests.house.source import read

Document = dict[str, Any]


def refused_examples(document: Document) -> list[str]:
    """Say which examples do not fit the schema that they stand in."""
    components = {"components": document.get("components", {})}
    return [
        f"{where}: {error.message[:200]}"
        for where, schema, example in all_examples(document)
        for error in jsonschema.Draft202012Validator(components | schema).iter_errors(example)
    ]


def all_examples(document: Document) -> Iterator[tuple[str, Document, Any]]:
    """Yield where an example stands, the schema it must fit, and the example."""
    for title, operation in api.operations_of(document):
        for parameter in operation.get("parameters", []):
            resolved = api.resolve(parameter, document)
            for example in api.examples_of(resolved, document):
                yield f"{title} {resolved['name']}", resolved.get("schema", {}), example
        for where, content in contents(title, operation, document):
            for media, described in content.items():
                for example in api.examples_of(described, document) if "json" in media else []:
                    yield where, described.get("schema", {}), example
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        for example in schema.get("examples", []):
            yield name, {"$ref": f"#/components/schemas/{name}"}, example


def contents(title: str, operation: Document, document: Document) -> Iterator[tuple[str, Document]]:
    """Yield the bodies that an operation takes and gives, by media type."""
    yield f"{title} body", api.resolve(operation.get("requestBody", {}), document).get("content", {})
    for status, answer in operation.get("responses", {}).items():
        yield f"{title} {status}", api.resolve(answer, document).get("content", {})


def bodies_without_example(document: Document) -> list[str]:
    return [
        f"{title}: the body has no example"
        for title, operation in api.operations_of(document)
        for media, described in api.resolve(operation.get("requestBody", {}), document).get("content", {}).items()
        if "json" in media and not api.examples_of(described, document)
    ]


def silent_operations(document: Document) -> list[str]:
    return [title for title, operation in api.operations_of(document) if not api.summary(operation).strip()]


def test_the_document_is_the_snapshot() -> None:
    assert json.loads(read("docs/reference/openapi.json")) == json.loads(json.dumps(openapi_document()))


def test_every_example_fits_its_schema() -> None:
    assert refused_examples(openapi_document()) == []


def test_every_body_has_an_example() -> None:
    assert bodies_without_example(openapi_document()) == []


def test_every_operation_says_what_it_does() -> None:
    assert silent_operations(openapi_document()) == []


def document_with(example: Any) -> Document:
    schema = {
        "type": "object",
        "properties": {"value": {"$ref": "#/components/schemas/Value"}},
        "required": ["value"],
        "examples": [example] if example is not None else [],
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Point"}}}}
    return {
        "paths": {"/points": {"post": {"summary": "Take a point.", "requestBody": body, "responses": {}}}},
        "components": {"schemas": {"Point": schema, "Value": {"type": "number"}}},
    }


def test_an_example_that_fits_passes() -> None:
    document = document_with({"value": 1.5})
    assert refused_examples(document) == []
    assert bodies_without_example(document) == []
    assert silent_operations(document) == []


@pytest.mark.parametrize("example", [{"value": "high"}, {}])
def test_an_example_that_does_not_fit_is_caught(example: Any) -> None:
    found = refused_examples(document_with(example))
    assert found
    assert found[0].startswith("POST /points body: ")


def test_a_body_without_an_example_is_caught() -> None:
    assert bodies_without_example(document_with(None)) == ["POST /points: the body has no example"]


def test_a_silent_operation_is_caught() -> None:
    document = document_with({"value": 1.0})
    document["paths"]["/points"]["post"]["summary"] = ""
    assert silent_operations(document) == ["POST /points"]
