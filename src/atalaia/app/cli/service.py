"""``atalaia up``, ``run``, ``demo`` and ``doctor``: the service itself. These load the app."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atalaia.app.cli.output import columns, show_local
from atalaia.app.cli.session import Output, OutputOption, Session, examples, session_of
from atalaia.core.errors import AtalaiaError

if TYPE_CHECKING:
    from atalaia.app.settings import Settings

_FINDINGS = columns("check", "ok", "detail", "advice")
DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on; loopback by default.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")]


def settings_of(data_dir: Path | None, host: str | None, port: int | None) -> "Settings":
    """Return the settings: defaults, atalaia.toml, ATALAIA_*, and last these flags."""
    from atalaia.app.settings import load_settings
    from atalaia.kit.logs import log_for_commands

    log_for_commands()
    flags: dict[str, Any] = {"data_dir": data_dir, "host": host, "port": port}
    return load_settings({name: value for name, value in flags.items() if value is not None})


def up(data_dir: DataDir = None, host: Host = None, port: Port = None) -> None:
    """Start Atalaia in one process: API, worker, scheduler and storage."""
    settings = settings_of(data_dir, host, port)
    from atalaia.app.embedded import serve

    serve(settings)


def run(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="api, predictor, worker or scheduler.")],
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Start one role of Atalaia."""
    settings = settings_of(data_dir, host, port)
    from atalaia.app.embedded import run_role

    run_role(settings, role)


def demo(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    speed: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds of data in a second; by default as fast as it goes.")
    ] = None,
    keep_serving: Annotated[bool, typer.Option("--serve/--no-serve", help="Keep serving afterwards.")] = True,
    exit_after: Annotated[float | None, typer.Option(min=0.0, help="Stop serving after so many seconds.")] = None,
) -> None:
    """Show all of it on real data: import, train, promote, replay, and the anomalies found."""
    settings = settings_of(data_dir, host, port)
    from atalaia.app.demo.run import Options, run_demo

    run_demo(settings, Options(speed=speed or None, keep_serving=keep_serving, exit_after_s=exit_after))


def doctor(
    ctx: typer.Context,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check this installation and the service; fails when something is wrong."""
    session = session_of(ctx, output)
    from atalaia.app.diagnosis import diagnose

    rows = [asdict(finding) for finding in diagnose(settings_of(data_dir, host, port))]
    rows.append(service_finding(session))
    show_local(session, rows, _FINDINGS)
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


def service_finding(session: Session) -> dict[str, Any]:
    """Return whether the service answers, in the form of the other findings."""
    try:
        with session.client() as client:
            health = client.health()
    except AtalaiaError as error:
        return {"check": "service", "ok": False, "detail": error.detail, "advice": "start it with `atalaia up`"}
    return {"check": "service", "ok": True, "detail": f"{session.url} answers: {health.status}", "advice": ""}


def add_to(app: typer.Typer) -> None:
    """Make these commands of `app`."""
    app.command("up", epilog=examples("atalaia up", "atalaia up --data-dir /srv/atalaia --port 8461"))(up)
    app.command("run", epilog=examples("atalaia run api --port 8461", "atalaia run worker"))(run)
    app.command("demo", epilog=examples("atalaia demo", "atalaia demo --data-dir /tmp/demo --no-serve"))(demo)
    app.command("doctor", epilog=examples("atalaia doctor", "atalaia doctor --output json"))(doctor)
