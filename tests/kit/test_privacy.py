"""What names people is hidden before it is kept, the same value always in the same way."""

import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from atalaia.core.errors import Invalid
from atalaia.kit.privacy import MASK, Privacy, PrivacySettings, is_pseudonym


def privacy(folder: Path, *rules: tuple[str, str, str], **more: Any) -> Privacy:
    told = [{"where": where, "match": match, "action": action} for where, match, action in rules]
    return Privacy(PrivacySettings.model_validate({"rules": told, **more}), folder)


def test_without_rules_nothing_changes_and_no_secret_is_made(tmp_path: Path) -> None:
    nothing = privacy(tmp_path)
    labels = [("user", "ada"), ("__name__", "up")]
    assert nothing.labels(labels) == labels
    assert nothing.series_id("ada") == "ada"
    assert nothing.note("ada@example.org") == "ada@example.org"
    assert not nothing.hides_ids
    assert nothing.known_as("ada") == ["ada"]
    assert list(tmp_path.iterdir()) == []


def test_a_pseudonym_is_the_same_in_every_process_and_another_at_another_site(tmp_path: Path) -> None:
    rule = ("labels", "user", "hash")
    first, again, other = (privacy(tmp_path / name, rule) for name in ("a", "a", "b"))
    found = first.label("user", "ada")
    assert found is not None
    assert is_pseudonym(found)
    assert again.label("user", "ada") == found
    assert other.label("user", "ada") != found
    assert first.label("user", "bob") != found
    assert first.label("user", found) == found  # sent back as it was told
    assert first.known_as("ada") == ["ada", found]


def test_the_secret_is_read_by_its_owner_only(tmp_path: Path) -> None:
    privacy(tmp_path, ("labels", "*", "hash"))
    assert stat.S_IMODE((tmp_path / "secrets" / "privacy.key").stat().st_mode) == 0o600


def test_the_first_rule_for_a_label_counts(tmp_path: Path) -> None:
    rules = (("labels", "user_name", "mask"), ("labels", "user_*", "drop"), ("labels", "mail", "hash"))
    hidden = dict(
        privacy(tmp_path, *rules).labels(
            [("user_name", "ada"), ("user_phone", "1"), ("mail", "a@b.org"), ("job", "x"), ("mail2", "")]
        )
    )
    assert is_pseudonym(hidden.pop("mail"))
    assert hidden == {"user_name": MASK, "job": "x", "mail2": ""}


def test_ids_are_hashed_by_pattern(tmp_path: Path) -> None:
    hidden = privacy(tmp_path, ("series_id", "patient-*", "hash"))
    assert is_pseudonym(hidden.series_id("patient-7"))
    assert hidden.series_id("pump-7") == "pump-7"


@pytest.mark.parametrize(
    ("match", "text", "kept"),
    [
        ("email", "ask ada.l+x@mail.example.org, please", "ask ***, please"),
        ("ip", "from 10.0.0.7 and 2001:db8:0:0:0:0:0:1", "from *** and ***"),
        ("phone", "call +55 (11) 91234-5678 now", "call *** now"),
        ("cpf", "cpf 123.456.789-09.", "cpf ***."),
        ("*", "a@b.org 10.0.0.7", "*** ***"),
        ("email", "the bearing was worn at 12:30", "the bearing was worn at 12:30"),
        ("phone", "it read 3.14159265358 at 20", "it read 3.14159265358 at 20"),
    ],
)
def test_notes_are_masked_by_pattern(tmp_path: Path, match: str, text: str, kept: str) -> None:
    assert privacy(tmp_path, ("notes", match, "mask")).note(text) == kept


def test_notes_can_be_hashed_or_shortened(tmp_path: Path) -> None:
    assert privacy(tmp_path, ("notes", "email", "drop")).note("ask a@b.org") == "ask "
    assert is_pseudonym(privacy(tmp_path, ("notes", "email", "hash")).note("a@b.org"))


def test_a_long_note_does_not_take_long(tmp_path: Path) -> None:
    """Patterns are bounded: no text makes them try again and again."""
    masked = privacy(tmp_path, ("notes", "*", "mask"))
    for text in ("a." * 2_000, "1" * 4_000, "a@" * 2_000, "a@" + "b." * 2_000, "1 " * 2_000, "ab:" * 1_300):
        masked.note(text)


@pytest.mark.parametrize(
    ("where", "match", "action"),
    [("series_id", "*", "drop"), ("series_id", "*", "mask"), ("notes", "names", "mask"), ("labels", "", "drop")],
)
def test_rules_that_cannot_be_followed_are_refused(tmp_path: Path, where: str, match: str, action: str) -> None:
    with pytest.raises(ValidationError):
        privacy(tmp_path, (where, match, action))


@pytest.mark.parametrize("content", [None, b"short"])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """And none is made in its place: pseudonyms would change."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Invalid, match="secret"):
        privacy(tmp_path, ("labels", "*", "hash"), secret_file=file)


def test_there_is_no_pseudonym_without_a_rule_that_hashes(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        privacy(tmp_path, ("labels", "*", "drop")).pseudonym("ada")


def test_ids_and_names_of_models_are_hidden_alike(tmp_path: Path) -> None:
    hiding = privacy(tmp_path, ("series_id", "patient-*", "hash"))
    hidden = hiding.pseudonym("patient-7")
    assert hiding.series_ids(["patient-7", "pump", hidden]) == [hidden, "pump", hidden]
    assert hiding.model_name("series:patient-7") == f"series:{hidden}"
    assert [hiding.model_name(name) for name in ("fleet:patient-7", "atalaia", "series:pump", "patient-7")] == [
        "fleet:patient-7",
        "atalaia",
        "series:pump",
        "patient-7",
    ]
