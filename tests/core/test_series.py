"""What may name a series or a fleet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.errors import Invalid
from atalaia.core.series import MAX_ID_CHARACTERS, RESERVED_IDS, check_id

LETTERS = st.characters(min_codepoint=0xA1, exclude_categories=["Cs", "Cc", "Z"])


@pytest.mark.parametrize(
    "name",
    [
        "pump-7",
        "sala 3/bomba 7",
        "温度",
        "حرارة",
        "🔥",
        "a" * MAX_ID_CHARACTERS,
        "batches",
        "%2F",
        "a?b#c&d=e",
        "...",
    ],
)
def test_any_script_and_any_sign_is_welcome(name: str) -> None:
    assert check_id(name) == name


@given(st.text(LETTERS, min_size=1, max_size=MAX_ID_CHARACTERS))
def test_what_people_write_is_welcome(name: str) -> None:
    assert check_id(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("a" * (MAX_ID_CHARACTERS + 1), "257 characters"),
        (" a", "white space"),
        ("a\n", "white space"),
        ("a\x00b", "control"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("a\ud800b", "control"),
        (".", "folder"),
        ("..", "folder"),
        *((name, "reserved") for name in sorted(RESERVED_IDS)),
    ],
)
def test_what_cannot_be_addressed_or_shown_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_id(name, "/points/3/series_id")
    assert caught.value.code == "invalid_id"
    assert caught.value.faults[0].pointer == "/points/3/series_id"
    assert why in caught.value.faults[0].message
