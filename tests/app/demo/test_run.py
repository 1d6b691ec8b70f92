"""How the demo starts and ends, with the embedded service replaced."""

import os
import signal
import threading
from typing import Any

import pytest

from atalaia.app.demo import run as demo_run
from atalaia.app.settings import Settings


class Embedded:
    """A service that says only whether it was closed."""

    closed = 0
    url = "http://127.0.0.1:9"

    def __init__(self, settings: object) -> None:
        self.settings = settings

    def __enter__(self) -> "Embedded":
        return self

    def token(self) -> None:
        """Return none: nobody asks for it."""

    def __exit__(self, *error: object) -> None:
        Embedded.closed += 1


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module under test, which finds the service above and tells nothing."""
    monkeypatch.setattr(demo_run, "Embedded", Embedded)
    monkeypatch.setattr(demo_run, "configure_logs", lambda **how: None)
    monkeypatch.setattr(demo_run, "tell", lambda client, speed: None)
    monkeypatch.setattr(Embedded, "closed", 0)
    return demo_run


def test_it_ends_at_once_when_it_shall_not_serve(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run.run_demo(Settings(), run.Options(keep_serving=False))
    said = capsys.readouterr()
    assert Embedded.closed == 1
    assert "http://127.0.0.1:9/docs" in said.err
    assert "--url http://127.0.0.1:9 anomalies list" in said.err
    assert said.out == ""


def test_it_serves_for_the_stated_time(run: Any) -> None:
    run.run_demo(Settings(), run.Options(exit_after_s=0.01))
    assert Embedded.closed == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_serving_in_order(run: Any, number: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    settings = Settings()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
    timer.start()
    run.run_demo(settings, run.Options(exit_after_s=30.0))
    timer.join()
    assert Embedded.closed == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_during_the_story_is_passed_on(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "tell", lambda client, speed: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        run.run_demo(Settings(), run.Options())
    assert Embedded.closed == 1
