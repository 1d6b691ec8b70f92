"""Loaded models are bounded in bytes, the least recently used go first, and nothing older comes back."""

import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.models import Deployment
from atalaia.core.scores import ModelRef, Source
from atalaia.serving.cache import Loaded, ModelCache
from tests.kit.fakes import in_threads
from tests.serving.builders import series


@dataclass(frozen=True)
class Weight:
    """A model of which only its size matters."""

    nbytes: int
    detector: None = None


def loaded(name: str, nbytes: int = 10, revision: int = 1) -> Loaded:
    model: Any = Weight(nbytes)
    return Loaded(Deployment(series(name), revision, "statistical", "", nbytes, "", revision), model, Source.MLFLOW)


def held(cache: ModelCache, names: str) -> str:
    return "".join(name for name in names if cache.holds(series(name)))


def test_what_was_put_is_found() -> None:
    cache, one = ModelCache(100), loaded("a")
    cache.put(one)
    assert cache.get(series("a")) is one
    assert cache.peek(series("a")) is one
    assert (len(cache), cache.nbytes) == (1, 10)


def test_a_loaded_model_says_who_it_is() -> None:
    assert loaded("a", revision=3).ref == ModelRef("series:a", "v3", "statistical")


def test_the_least_recently_used_goes_first() -> None:
    cache = ModelCache(30)
    for name in "abc":
        cache.put(loaded(name))
    cache.get(series("a"))
    cache.put(loaded("d"))
    assert held(cache, "abcd") == "acd"
    assert cache.nbytes == 30


def test_looking_without_counting_does_not_keep_a_model() -> None:
    cache = ModelCache(20)
    cache.put(loaded("a"))
    cache.put(loaded("b"))
    assert cache.holds(series("a"))
    assert cache.peek(series("a")) is not None
    cache.put(loaded("c"))
    assert held(cache, "abc") == "bc"


def test_one_large_model_drives_out_many_small_ones() -> None:
    cache = ModelCache(30)
    for name in "abc":
        cache.put(loaded(name))
    cache.put(loaded("d", 25))
    assert held(cache, "abcd") == "d"


def test_a_model_larger_than_the_cache_stays_alone() -> None:
    cache = ModelCache(30)
    cache.put(loaded("a"))
    cache.put(loaded("b", 1_000))
    assert (held(cache, "ab"), cache.nbytes) == ("b", 1_000)
    cache.put(loaded("a"))
    assert (held(cache, "ab"), cache.nbytes) == ("a", 10)


def test_a_newer_promotion_takes_the_place_of_the_older() -> None:
    cache = ModelCache(100)
    cache.put(loaded("a", 10, revision=1))
    cache.put(loaded("a", 20, revision=2))
    found = cache.peek(series("a"))
    assert found is not None
    assert (found.deployment.revision, cache.nbytes, len(cache)) == (2, 20, 1)


def test_an_older_promotion_never_takes_the_place_of_a_newer() -> None:
    cache = ModelCache(100)
    cache.put(loaded("a", 20, revision=2))
    cache.put(loaded("a", 10, revision=1))
    found = cache.peek(series("a"))
    assert found is not None
    assert (found.deployment.revision, cache.nbytes) == (2, 20)


def test_the_same_promotion_loaded_anew_counts_once() -> None:
    cache = ModelCache(100)
    cache.put(loaded("a"))
    again = loaded("a")
    cache.put(again)
    assert cache.peek(series("a")) is again
    assert cache.nbytes == 10


def test_the_hit_rate_is_that_of_the_last_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr("atalaia.serving.cache.time.monotonic", lambda: now[0])
    cache = ModelCache(100)
    told: list[float] = []
    for hits, misses in ((0, 100), (0, 0), (50, 50), (0, 0), (0, 0)):
        cache.hits += hits
        cache.misses += misses
        now[0] += 200
        told.append(cache.hit_rate())
    assert told == [0.0, 0.0, 0.5, 0.5, 1.0]


def test_the_hit_rate_is_one_before_anybody_asked() -> None:
    cache = ModelCache(100)
    assert cache.hit_rate() == 1.0
    cache.put(loaded("a"))
    for name in "aaab":
        cache.get(series(name))
    assert (cache.hits, cache.misses, cache.hit_rate()) == (3, 1, 0.75)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 60), st.integers(1, 4), st.booleans())))
def test_it_never_holds_more_than_it_may(steps: list[tuple[str, int, int, bool]]) -> None:
    cache, newest = ModelCache(100), dict[str, int]()
    for name, nbytes, revision, asks in steps:
        if asks:
            cache.get(series(name))
            continue
        before = cache.peek(series(name))
        cache.put(loaded(name, nbytes, revision))
        now = cache.peek(series(name))
        assert now is not None
        assert now.deployment.revision == max(revision, before.deployment.revision if before else 0)
        newest[name] = now.model.nbytes
        there = [newest[other] for other in newest if cache.holds(series(other))]
        assert cache.nbytes == sum(there)
        assert cache.nbytes <= 100 or len(cache) == 1


def test_many_threads_leave_the_books_right() -> None:
    cache = ModelCache(50)

    def use(number: int) -> None:
        chance = random.Random(number)
        for revision in range(1, 400):
            name = chance.choice("abcdefgh")
            cache.put(loaded(name, 1 + ord(name) % 13, revision))
            cache.get(series(chance.choice("abcdefgh")))

    in_threads(4, use)
    there = [found.model.nbytes for name in "abcdefgh" if (found := cache.peek(series(name)))]
    assert (sum(there), len(there)) == (cache.nbytes, len(cache))
    assert cache.nbytes <= 50
    assert cache.hits + cache.misses == 4 * 399
