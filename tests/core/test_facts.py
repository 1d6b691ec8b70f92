"""Facts are small, and the table knows them all."""

import json
from dataclasses import asdict, fields

import pytest

from atalaia.core.facts import FACTS, Fact, ModelPromoted


def test_every_fact_stands_in_the_table_under_its_own_name() -> None:
    assert {fact.name: fact for fact in Fact.__subclasses__()} == FACTS
    assert [fact.__name__ for fact in FACTS.values()] == list(FACTS)


@pytest.mark.parametrize("fact", FACTS.values())
def test_a_fact_is_made_of_ids_and_numbers(fact: type[Fact]) -> None:
    assert {field.type for field in fields(fact)} <= {str, int, float, bool, "str", "int", "float", "bool"}


def test_a_fact_survives_being_written_as_json() -> None:
    fact = ModelPromoted("series:pump-7", 3, 2, previous_archived=True)
    assert ModelPromoted(**json.loads(json.dumps(asdict(fact)))) == fact
