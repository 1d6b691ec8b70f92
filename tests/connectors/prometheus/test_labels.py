"""Ids of series as Prometheus writes them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connectors.prometheus import catalogue_labels, series_id_of
from atalaia.connectors.prometheus.labels import MAX_LABELS, MAX_NAME_CHARACTERS, MAX_VALUE_CHARACTERS
from atalaia.core.series import check_id

PAIRS = st.lists(
    st.tuples(st.one_of(st.sampled_from(["__name__", "a", "b"]), st.text(min_size=1)), st.text()),
    max_size=6,
    unique_by=lambda pair: pair[0],
)


@pytest.mark.parametrize(
    ("labels", "series_id"),
    [
        ([("__name__", "up"), ("job", "node"), ("instance", "a:9100")], 'up{instance="a:9100",job="node"}'),
        ([("b", "2"), ("a", "1"), ("__name__", "up")], 'up{a="1",b="2"}'),
        ([("__name__", "up")], "up"),
        ([("__name__", "up"), ("empty", "")], "up"),
        ([("a", "1")], '{a="1"}'),
        ([], "{}"),
        ([("__name__", "up"), ("path", 'C:\\x "y"\n')], r'up{path="C:\\x \"y\"\n"}'),
        ([("__name__", "http.requests"), ("a", "1")], '{"http.requests",a="1"}'),
        ([("__name__", "up"), ("k8s.pod", "x"), ("größe", "1")], 'up{"größe"="1","k8s.pod"="x"}'),
        ([("__name__", "jobs")], "jobs{}"),
        ([("__name__", "up"), ("stadt", "Zürich")], 'up{stadt="Zürich"}'),
    ],
)
def test_an_id_is_written_as_prometheus_writes_a_series(labels: list[tuple[str, str]], series_id: str) -> None:
    assert series_id_of(labels) == series_id
    assert check_id(series_id) == series_id


def test_a_long_id_is_cut_and_stays_unique() -> None:
    first, second = (series_id_of([("__name__", "up"), ("path", "x" * 400 + end)]) for end in "ab")
    assert first != second
    assert len(first) == len(second) == 256
    assert first[:239] == second[:239] == f'up{{path="{"x" * 230}'
    assert re.fullmatch(r"~[0-9a-f]{16}", first[239:])


def test_a_cut_id_is_the_same_in_every_process() -> None:
    assert series_id_of([("a", "x" * 300)]).endswith("~af6799ea117f1c40")


def test_an_id_with_control_characters_is_cleaned_and_marked() -> None:
    tab, bell = (series_id_of([("__name__", "up"), ("a", f"x{c}y")]) for c in "\t\a")
    assert tab.startswith('up{a="x?y"}~')
    assert tab != bell


@given(PAIRS)
def test_every_set_of_labels_has_a_usable_id_whatever_its_order(labels: list[tuple[str, str]]) -> None:
    series_id = series_id_of(labels)
    assert check_id(series_id) == series_id
    assert series_id_of(labels[::-1]) == series_id


@given(PAIRS, PAIRS)
def test_different_labels_have_different_ids(first: list[tuple[str, str]], second: list[tuple[str, str]]) -> None:
    same = {pair for pair in first if pair[1]} == {pair for pair in second if pair[1]}
    assert (series_id_of(first) == series_id_of(second)) == same


def test_labels_for_the_catalogue_are_bounded() -> None:
    many = [(f"{i:03}" + "n" * 200, "v" * 1000) for i in range(100)]
    kept = catalogue_labels([*many, ("", "x"), ("a", "")])
    assert len(kept) == MAX_LABELS
    assert {len(name) for name in kept} == {MAX_NAME_CHARACTERS}
    assert {len(value) for value in kept.values()} == {MAX_VALUE_CHARACTERS}
