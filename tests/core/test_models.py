"""What a model is of, and how versions are written."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.errors import Invalid
from atalaia.core.models import ModelKey, ModelVersion, Scope, Stage, parse_version, version_name


@given(st.sampled_from(Scope), st.text(min_size=1))
def test_a_key_survives_being_written_whatever_the_name(scope: Scope, name: str) -> None:
    key = ModelKey(scope, name)
    assert ModelKey.parse(str(key)) == key


def test_a_key_says_what_it_is_of() -> None:
    assert str(ModelKey(Scope.SERIES, "a:b/c d")) == "series:a:b/c d"
    assert str(ModelKey(Scope.FLEET, "pumps")) == "fleet:pumps"


def test_keys_sort() -> None:
    keys = [ModelKey(Scope.SERIES, "a"), ModelKey(Scope.FLEET, "b"), ModelKey(Scope.FLEET, "a")]
    assert [str(key) for key in sorted(keys)] == ["fleet:a", "fleet:b", "series:a"]


@given(st.integers(1, 999_999_999))
def test_a_version_survives_being_written(number: int) -> None:
    assert parse_version(version_name(number)) == number
    assert parse_version(str(number)) == number
    assert parse_version(f"V{number}") == number


@pytest.mark.parametrize("text", ["", "v", "vv1", "1.0", "-1", "v-1", "latest", "v 1", "v١", "²", "9" * 10, "v1\n"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_version(text)
    assert caught.value.code == "invalid_version"
    assert caught.value.faults[0].pointer == "/version"


def test_a_long_word_is_not_repeated_whole() -> None:
    with pytest.raises(Invalid) as caught:
        parse_version("x" * 5000)
    assert len(caught.value.detail) < 200


def test_a_version_knows_its_name() -> None:
    version = ModelVersion(
        key=ModelKey(Scope.SERIES, "pump-7"),
        number=3,
        stage=Stage.STAGING,
        algorithm="statistical",
        hyperparameters={},
        metrics={},
        series_count=1,
        sha256="",
        size_bytes=0,
        run_id="",
        job_id="",
        created_at=datetime(2014, 4, 10, tzinfo=UTC),
    )
    assert version.name == "v3"
    assert version.promoted_at is None
