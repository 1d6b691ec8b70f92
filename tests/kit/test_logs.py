"""One event is one line of one form, whoever wrote it."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from atalaia.kit.logs import configure_logs


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Leave the process' logs to the next test as they were found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_an_event_is_one_line_of_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    structlog.get_logger("atalaia.test").info("points\naccepted", count=3, series_id="温度 \ud800")
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "points\naccepted", "level": "info", "count": 3, "series_id": "温度 \ud800"}


def test_what_the_request_bound_stands_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        structlog.get_logger("a").info("ours")
        logging.getLogger("a").info("theirs")
    structlog.get_logger("a").info("after")
    assert [line.get("request_id") for line in lines(capsys)] == ["req_1", "req_1", None]


def test_lines_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    logging.getLogger("some.library").warning("%s of %d", "one", 2, extra={"place": "here"})
    (line,) = lines(capsys)
    assert set(line) == {"event", "level", "timestamp", "place"}
    assert (line["event"], line["level"], line["place"]) == ("one of 2", "warning", "here")


@pytest.mark.parametrize("logger", [structlog.get_logger("a"), logging.getLogger("a")])
def test_an_exception_stands_inside_its_line(capsys: pytest.CaptureFixture[str], logger: Any) -> None:
    configure_logs()
    try:
        raise ValueError("what was wrong")
    except ValueError:
        logger.exception("broken")
    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == ("broken", "error")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: what was wrong")


def test_what_json_does_not_know_is_still_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    structlog.get_logger("a").info("x", thing=object(), data=b"\xff", numbers={1, 2})
    (line,) = lines(capsys)
    assert "object object" in line["thing"]


@pytest.mark.parametrize(("level", "events"), [("debug", "diw"), ("INFO", "iw"), ("warning", "w")])
def test_the_level_holds_for_ours_and_theirs(capsys: pytest.CaptureFixture[str], level: str, events: str) -> None:
    configure_logs(level=level)
    for logger in (structlog.get_logger("a"), logging.getLogger("a")):
        logger.debug("d")
        logger.info("i")
        logger.warning("w")
    assert [line["event"] for line in lines(capsys)] == list(events * 2)


def test_noisy_libraries_are_heard_only_when_something_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    logging.getLogger("httpx").info("GET")
    logging.getLogger("uvicorn.access").info("GET")
    logging.getLogger("alembic.runtime").warning("careful")
    assert [line["event"] for line in lines(capsys)] == ["careful"]


def test_the_console_form_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(as_json=False)
    structlog.get_logger("a").info("points_accepted", count=3)
    try:
        raise ValueError("what was wrong")
    except ValueError:
        logging.getLogger("b").exception("broken")
    err = capsys.readouterr().err
    assert "\x1b[" not in err  # not a terminal: no colours
    assert "points_accepted" in err.splitlines()[0]
    assert "count=3" in err.splitlines()[0]
    assert "ValueError: what was wrong" in err


def test_configuring_twice_does_not_write_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    configure_logs()
    structlog.get_logger("a").info("once")
    assert len(lines(capsys)) == 1
