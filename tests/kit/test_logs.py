"""One event is one line of one form, whoever wrote it."""

import json
import logging
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog

from atalaia.core.clock import from_us
from atalaia.core.scores import Source
from atalaia.kit import logs
from atalaia.kit.logs import EventLog, configure_logs, log_for_commands, take_over
from tests.kit.fakes import in_threads


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


def test_a_library_that_brings_a_handler_is_heard_once_and_in_our_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    library = logging.getLogger("a.library")
    library.addHandler(logging.StreamHandler(sys.stderr))
    library.propagate = False
    take_over("a.library")
    logging.getLogger("a.library.part").info("all is well")
    logging.getLogger("a.library.part").warning("careful")
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


def test_events_of_the_hot_path_are_written_together_in_the_form_of_all_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs()
    events = EventLog(as_json=True)
    events.add("request", path="/温度", status=200, ms=0.25, source=Source.MLFLOW, score=math.nan, at=from_us(0))
    events.add("request", path="/b")
    assert lines(capsys) == []
    assert not events.flush()
    first, second = lines(capsys)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "request",
        "level": "info",
        "path": "/温度",
        "status": 200,
        "ms": 0.25,
        "source": "mlflow",
        "score": None,
        "at": "1970-01-01T00:00:00Z",
    }
    assert (second["path"], second["timestamp"] >= "2020") == ("/b", True)
    events.flush()
    assert lines(capsys) == []


def test_on_a_console_gathered_events_look_like_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(as_json=False)
    events = EventLog()
    events.add("prediction", source=Source.MLFLOW, at=from_us(0), value=1.5)
    events.flush()
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    for told in ("prediction", "source=mlflow", "at=1970-01-01T00:00:00Z", "value=1.5"):
        assert told in re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("as_json", [True, False])
def test_gathered_events_are_not_written_where_info_is_not_wanted(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    configure_logs(level="warning", as_json=as_json)
    events = EventLog(as_json=as_json)
    events.add("request", path="/a")
    events.flush()
    configure_logs(as_json=as_json)
    events.flush()
    assert capsys.readouterr().err == ""


def test_events_that_nobody_writes_are_dropped_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_MOST_WAITING", 10)
    configure_logs()
    events = EventLog(as_json=True)
    for number in range(13):
        events.add("request", number=number)
    events.flush()
    told = lines(capsys)
    assert [line.get("number") for line in told] == [*range(3, 13), None]
    assert (told[-1]["event"], told[-1]["count"], told[-1]["level"]) == ("log_lines_dropped", 3, "warning")
    events.add("request", number=13)
    events.flush()
    assert [line["number"] for line in lines(capsys)] == [13]


def test_events_of_many_threads_are_each_written_once_while_others_flush(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs()
    events = EventLog(as_json=True)

    def work(number: int) -> None:
        for i in range(2_000):
            if number < 3:
                events.add("request", number=number * 10_000 + i)
            elif i % 100 == 0:
                events.flush()

    in_threads(5, work)
    events.flush()
    told = lines(capsys)
    assert {line["event"] for line in told} == {"request"}
    assert sorted(line["number"] for line in told) == [n * 10_000 + i for n in range(3) for i in range(2_000)]


class _Told(msgspec.Struct):
    event: str
    timestamp: str
    level: str = "info"


@pytest.mark.parametrize("as_json", [True, False])
def test_lines_that_are_made_already_are_written_as_they_are(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    configure_logs(as_json=as_json)
    events = EventLog(as_json=as_json)
    events.take([_Told("prediction", "2026-01-01T00:00:00Z")], b'{"event":"prediction"}\n')
    assert capsys.readouterr().err == ""
    events.flush()
    written = capsys.readouterr().err
    assert written == '{"event":"prediction"}\n' if as_json else "prediction" in written


def test_made_lines_that_nobody_reads_are_dropped_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logs(as_json=True)
    monkeypatch.setattr("atalaia.kit.logs._MOST_WAITING", 0)
    events = EventLog(as_json=True)
    for _ in range(3):
        events.take([_Told("prediction", "")], b"{}\n")
    events.flush()
    assert '"count":2' in capsys.readouterr().err


def test_a_command_says_what_is_wrong_on_stderr_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    log_for_commands()
    structlog.get_logger("atalaia.test").info("leading", what="objects")
    structlog.get_logger("atalaia.test").warning("not_read", why="it is gone")
    out, err = capsys.readouterr()
    assert out == ""
    assert "not_read" in err
    assert "it is gone" in err
    assert "leading" not in err
    configure_logs()
    log_for_commands()  # a service has its own
    structlog.get_logger("atalaia.test").info("following")
    assert [line["event"] for line in lines(capsys)] == ["following"]
