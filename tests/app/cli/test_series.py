"""``atalaia series label``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


def test_labels_are_set_and_taken_away(service: "Service") -> None:
    service.answers["PATCH /series/a"] = {"series_id": "a"}
    assert service.run("series", "label", "a", "site=north", "old=").exit_code == 0
    assert service.sent("PATCH") == [{"labels": {"site": "north", "old": None}}]
    assert service.run("series", "label", "a", "north").exit_code == 2
