"""Metrics, facts and problems: the pages that are one table of the code each."""

import dataclasses

from atalaia.core.errors import EXIT_CODE, HTTP_STATUS, RETRIES, Kind
from atalaia.core.facts import FACTS
from atalaia.core.problems import PROBLEMS
from atalaia.kit.telemetry import METRICS
from scripts.reference.markdown import code, first_line, page, table, type_text


def metrics_page() -> str:
    """Return the page of all metrics."""
    rows = [
        [code(metric.name), str(metric.kind), ", ".join(map(code, metric.labels)), metric.help]
        for metric in METRICS
    ]
    lead = "What `GET /metrics` says, in the Prometheus text format."
    return page("Metrics", lead, [table(["Name", "Kind", "Labels", "Meaning"], rows)])


def facts_page() -> str:
    """Return the page of all facts."""
    rows = [
        [
            code(name),
            first_line(fact.__doc__),
            ", ".join(code(f"{field.name}: {type_text(field.type)}") for field in dataclasses.fields(fact)),
        ]
        for name, fact in FACTS.items()
    ]
    lead = (
        "What one part of Atalaia tells the others: past tense, written in the transaction of the change, "
        "delivered at least once after its commit."
    )
    return page("Facts", lead, [table(["Fact", "Meaning", "Fields"], rows)])


def problems_page() -> str:
    """Return the page of all problem codes, by kind; every code is a heading, so that it can be linked to."""
    lead = (
        "Every error has a stable `code` and one of eight kinds. The kind decides the HTTP status, the exit code "
        "of the command line and whether to retry. A code that answers with another status says so. The `type` of "
        "a problem is `urn:atalaia:problem:` followed by its code."
    )
    return page("Problems", lead, [block for kind in HTTP_STATUS for block in problems_of(kind)])


def problems_of(kind: Kind) -> list[str]:
    """Return the blocks of one kind."""
    retry = "may succeed later" if kind in RETRIES else "will fail again unless something changes"
    head = f"HTTP {HTTP_STATUS[kind]}, exit code {EXIT_CODE[kind]}. The same call {retry}."
    codes = [(name, meaning) for name, (of, meaning) in PROBLEMS.items() if of is kind]
    return [f"## {kind.value}", head, *(block for name, meaning in codes for block in (f"### {name}", meaning))]
