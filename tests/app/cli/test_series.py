"""``atalaia series label`` and ``resolve``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


def test_labels_are_set_and_taken_away(service: "Service") -> None:
    service.answers["PATCH /series/a"] = {"series_id": "a"}
    assert service.run("series", "label", "a", "site=north", "old=").exit_code == 0
    assert service.sent("PATCH") == [{"labels": {"site": "north", "old": None}}]
    assert service.run("series", "label", "a", "north").exit_code == 2


def test_numbers_are_learnt_in_the_order_of_the_names(service: "Service") -> None:
    service.answers["POST /series/resolve"] = {"series": [7, 3], "created": 1}
    result = service.run("series", "resolve", "b", "a", "-o", "csv")
    assert result.stdout == "series_id,number\nb,7\na,3\n"
    assert result.stderr == "New: 1.\n"
    assert service.sent("POST") == [{"series_ids": ["b", "a"]}]
    assert service.run("series", "resolve", "b", "a", "-o", "json").stdout == '{"series":[7,3],"created":1}\n'
