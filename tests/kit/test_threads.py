"""A loop goes on until it is told to stop, whatever its step does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from atalaia.kit.threads import Loop
from tests.kit.fakes import PATIENCE_S, logged, wait_until

NEVER_S = 1000.0


@pytest.fixture
def start() -> Iterator[Callable[..., Loop]]:
    """Return a way to start a loop that is stopped when the test is over."""
    with ExitStack() as stack:

        def start(step: Callable[[], bool], every_s: float, pause_s: float = 0.0) -> Loop:
            loop = Loop("test", step, every_s=every_s, pause_s=pause_s)
            stack.callback(loop.stop)
            loop.start()
            return loop

        yield start


class Step:
    """Counts its calls, and answers or raises what it was given, then that there is no more to do."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    def __call__(self) -> bool:
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_step_is_taken_at_once_and_then_every_so_often(start: Callable[..., Loop]) -> None:
    step = Step()
    start(step, 0.005)
    wait_until(lambda: step.calls >= 3)


def test_a_step_that_has_more_to_do_is_repeated_without_a_pause(start: Callable[..., Loop]) -> None:
    step = Step(True, True, True)
    start(step, NEVER_S)
    wait_until(lambda: step.calls == 4)


def test_a_loop_that_waits_can_be_woken(start: Callable[..., Loop]) -> None:
    step = Step()
    loop = start(step, NEVER_S)
    for calls in (1, 2, 3):
        wait_until(lambda: step.calls == calls)  # noqa: B023
        loop.wake()


def test_being_woken_during_a_step_is_not_forgotten(start: Callable[..., Loop]) -> None:
    inside, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def step() -> bool:
        calls.append(1)
        inside.set()
        go_on.wait(PATIENCE_S)
        return False

    loop = start(step, NEVER_S)
    assert inside.wait(PATIENCE_S)
    loop.wake()
    go_on.set()
    wait_until(lambda: len(calls) == 2)


def test_work_gathers_for_a_pause_whoever_wakes_the_loop(start: Callable[..., Loop]) -> None:
    moments: list[float] = []

    def step() -> bool:
        moments.append(time.monotonic())
        return True

    loop = start(step, NEVER_S, 0.02)
    wait_until(lambda: loop.wake() or len(moments) >= 3)
    assert all(later - earlier >= 0.019 for earlier, later in pairwise(moments))


def test_being_woken_during_a_pause_is_not_forgotten(start: Callable[..., Loop]) -> None:
    step = Step()
    loop = start(step, NEVER_S, 0.02)
    wait_until(lambda: step.calls == 1)
    loop.wake()
    wait_until(lambda: step.calls == 2)


def test_a_pause_ends_when_the_loop_stops(start: Callable[..., Loop]) -> None:
    step = Step(True)
    loop = start(step, NEVER_S, NEVER_S)
    wait_until(lambda: step.calls == 1)
    began = time.monotonic()
    loop.stop()
    assert time.monotonic() - began < PATIENCE_S / 2
    assert step.calls == 1


def test_a_step_that_fails_is_logged_and_taken_again(start: Callable[..., Loop]) -> None:
    step = Step(OSError("the disk is full"), RuntimeError("x"))
    with logged("loop_failed", loop="test"):
        start(step, 0.005)
        wait_until(lambda: step.calls >= 4)


def test_a_step_that_fails_always_does_not_spin(start: Callable[..., Loop]) -> None:
    step = Step(*[RuntimeError("x")] * 100)
    with logged("loop_failed"):
        start(step, NEVER_S)
        wait_until(lambda: step.calls == 1)
        time.sleep(0.02)
    assert step.calls == 1


def test_stopping_lets_the_step_end_and_takes_no_other(start: Callable[..., Loop]) -> None:
    inside = threading.Event()
    done: list[int] = []

    def step() -> bool:
        inside.set()
        time.sleep(0.02)
        done.append(1)
        return True

    loop = start(step, NEVER_S)
    assert inside.wait(PATIENCE_S)
    loop.stop()
    after = len(done)
    assert after >= 1
    time.sleep(0.05)
    assert len(done) == after


def test_a_waiting_loop_stops_at_once(start: Callable[..., Loop]) -> None:
    step = Step()
    loop = start(step, NEVER_S)
    wait_until(lambda: step.calls == 1)
    began = time.monotonic()
    loop.stop()
    assert time.monotonic() - began < PATIENCE_S / 2


def test_stopping_twice_or_before_the_start_is_fine() -> None:
    loop = Loop("test", Step(), every_s=NEVER_S)
    loop.stop()
    loop.stop()


def test_stopping_does_not_wait_for_ever_for_a_step_that_hangs(start: Callable[..., Loop]) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def step() -> bool:
        inside.set()
        return go_on.wait(PATIENCE_S)

    loop = start(step, NEVER_S)
    assert inside.wait(PATIENCE_S)
    loop.stop(timeout_s=0.01)
    go_on.set()
