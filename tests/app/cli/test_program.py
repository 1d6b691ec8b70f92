"""The command line as a whole: help, exit codes, what goes where."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from atalaia.app.cli import app, program
from atalaia.app.cli.session import Session
from atalaia.core.errors import EXIT_CODE, HTTP_STATUS, Kind

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


def every_command(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from every_command(command, (*path, name))


COMMANDS = list(every_command(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=[" ".join(path) or "atalaia" for path in COMMANDS])
def test_every_help_ends_with_two_examples(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    examples = result.output[result.output.index("Examples:") :].splitlines()[1:]
    assert sum(line.strip().startswith("atalaia ") for line in examples) >= 2
    assert all(line.strip().startswith("atalaia ") for line in examples if line.strip())


def test_the_commands_of_the_manual_are_there() -> None:
    names = {" ".join(path) for path in COMMANDS}
    verbs = {
        "series": "list show points label",
        "fleets": "list show set",
        "points": "import add",
        "anomalies": "list show feedback",
        "models": "list show promote metrics reload",
        "jobs": "list show watch cancel",
    }
    assert {f"{noun} {verb}" for noun, all_verbs in verbs.items() for verb in all_verbs.split()} < names
    assert {"up", "run", "demo", "doctor", "train", "predict"} < names


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'httpx', 'pyarrow', 'numpy', 'fastapi', 'sqlalchemy', 'rich'}"
    code = f"import atalaia.app.cli, sys; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("kind", list(Kind))
def test_the_kind_of_an_error_is_the_exit_code(service: "Service", kind: Kind) -> None:
    places = [{"pointer": "/a", "message": "is wrong"}]
    service.answers["GET /series/a"] = service.problem(kind.value, HTTP_STATUS[kind], errors=places)
    service.answers["GET /series/a"].headers["Retry-After"] = "99"
    result = service.run("series", "show", "a")
    assert (result.exit_code, result.stdout) == (EXIT_CODE[kind], "")
    assert "error: What to do. [a_code]\n  /a: is wrong\nTry again in 99 s." in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_is_a_problem_object_when_json_is_asked_for(service: "Service") -> None:
    result = service.run("series", "show", "a", "--output", "json")
    assert (result.exit_code, result.stdout) == (3, "")
    said = json.loads(result.stderr)
    assert (said["kind"], said["status"], said["code"]) == ("missing", 404, "unknown_path")


def test_an_error_cannot_write_to_the_terminal_what_it_likes(service: "Service") -> None:
    service.answers["GET /series/a"] = service.problem("missing", 404, detail="\x1b[2Jgone\nfar")
    assert "\x1b" not in service.run("series", "show", "a").stderr


def test_no_service_says_how_to_start_one() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    session = Session(transport=httpx.MockTransport(refuse))
    result = CliRunner().invoke(app, ["models", "reload", "a"], obj=session)
    assert (result.exit_code, result.stdout) == (5, "")
    assert "atalaia up" in result.stderr


def test_a_wrong_use_exits_with_two(service: "Service") -> None:
    for args in (["models", "show"], ["models", "show", "a", "--fleet", "b"], ["jobs", "list", "--output", "xml"]):
        result = service.run(*args)
        assert (result.exit_code, result.stdout) == (2, ""), args
    assert not service.requests


def test_flags_reach_the_client(service: "Service") -> None:
    service.answers["GET /jobs"] = {"items": []}
    service.run("--url", "http://there:1", "--token", "t0k", "jobs", "list")
    assert service.requests[0].url.host == "there"
    assert service.requests[0].headers["Authorization"] == "Bearer t0k"


def test_the_address_comes_from_the_environment(service: "Service", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATALAIA_URL", "http://elsewhere:9")
    service.answers["GET /jobs"] = {"items": []}
    service.run("jobs", "list")
    assert service.requests[0].url.host == "elsewhere"


def test_ctrl_c_exits_with_130(service: "Service", monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(session: Session) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "client", interrupted)
    assert service.run("jobs", "list").exit_code == 130


def test_a_reader_that_leaves_is_no_error(service: "Service", monkeypatch: pytest.MonkeyPatch) -> None:
    def left(session: Session) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(program, "hush_stdout", lambda: None)
    monkeypatch.setattr(Session, "client", left)
    result = service.run("jobs", "list")
    assert (result.exit_code, result.stderr) == (141, "")


def test_a_fault_of_ours_is_one_line_unless_debugged(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken(session: Session) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Session, "client", broken)
    monkeypatch.setattr(sys, "argv", ["atalaia", "jobs", "list"])
    with pytest.raises(SystemExit, match="1"):
        program.main()
    said = capsys.readouterr()
    assert "error: ZeroDivisionError: oops" in said.err
    assert "Traceback" not in said.err + said.out
    monkeypatch.setattr(sys, "argv", ["atalaia", "--debug", "jobs", "list"])
    with pytest.raises(ZeroDivisionError):
        program.main()


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("atalaia ")
