"""``atalaia waves``: many fleets trained, and put into Production together."""

from typing import TYPE_CHECKING, Annotated

import typer

from atalaia.app.cli.models import agreed
from atalaia.app.cli.output import columns, note, show_local, show_one, show_rows
from atalaia.app.cli.progress import bar
from atalaia.app.cli.series import pairs
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.train import Algorithm, Priority, WindowHours, hyperparameters
from atalaia.core.errors import Conflict

if TYPE_CHECKING:
    from atalaia.connectors.atalaia import Client, Wave

app = typer.Typer(
    no_args_is_help=True,
    help="Waves: many fleets trained, and put into Production together.",
    epilog=examples("atalaia waves start --promote --wait", "atalaia waves show WAVE"),
)
_REF = columns("wave_id=wave", "fleets", "left_out", "status_url")
_SHOW = columns(
    "wave_id=wave", "progress", "waiting", "completed", "empty", "failed", "series", "points", "created_at",
    "finished_at", "promoted_at",
    times=("created_at", "finished_at", "promoted_at"),
)  # fmt: skip
_FLEETS = columns("fleet_id=fleet", "status", "progress", "version", "series", "points", "job_id=job", "error")
_PLAN = columns("fleet_id=fleet", "version", "series")

WaveArgument = Annotated[str, typer.Argument(metavar="WAVE", help="Id of the wave.")]
Fleets = Annotated[list[str] | None, typer.Option("--fleet", help="Only this fleet; repeatable. Default: all.")]


@app.command(
    "start",
    epilog=examples(
        "atalaia waves start --algorithm streaming --promote --wait",
        "atalaia waves start --fleet pumps --fleet fans --set threshold_sigma=5",
    ),
)
def start_wave(
    ctx: typer.Context,
    fleet: Fleets = None,
    algorithm: Algorithm = None,
    window_hours: WindowHours = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter, name=value.")] = None,
    priority: Priority = None,
    promote: Annotated[bool, typer.Option("--promote", help="Promote all when the last has ended well.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until all have ended.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Train fleets, or all series: those without a fleet are put into one first."""
    from atalaia.connectors.atalaia import TrainingConfig

    session = session_of(ctx, output)
    config = TrainingConfig(window_hours, algorithm, hyperparameters(pairs(settings, "--set")))
    with session.client() as client:
        ref = client.waves.start(fleet, config, priority=priority, promote=promote)
        if ref.left_out:
            note(f"Left out, being trained or trained a moment ago: {', '.join(ref.left_out)}.")
        if not wait:
            show_one(session, ref, _REF)
            note(f"Follow it with: atalaia waves watch {ref.wave_id}")
            return
        wave = follow(client, ref.wave_id)
        show_one(session, wave, _SHOW)
    _conclude(wave)


@app.command("show", epilog=examples("atalaia waves show WAVE", "atalaia waves show WAVE --fleets --output csv"))
def show_wave(
    ctx: typer.Context,
    wave: WaveArgument,
    fleets: Annotated[bool, typer.Option("--fleets", help="Show each training.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show how far a wave is."""
    session = session_of(ctx, output)
    with session.client() as client:
        found = client.waves.get(wave)
    if fleets:
        show_rows(session, found.fleets, _FLEETS)
    else:
        show_one(session, found, _SHOW)


@app.command("watch", epilog=examples("atalaia waves watch WAVE", "atalaia waves watch WAVE --output json"))
def watch_wave(ctx: typer.Context, wave: WaveArgument, output: OutputOption = Output.TABLE) -> None:
    """Follow a wave to its end; fails when one of its trainings does."""
    session = session_of(ctx, output)
    with session.client() as client:
        ended = follow(client, wave)
        show_one(session, ended, _SHOW)
    _conclude(ended)


@app.command("retry", epilog=examples("atalaia waves retry WAVE", "atalaia waves retry WAVE --wait"))
def retry_wave(
    ctx: typer.Context,
    wave: WaveArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until all have ended.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Train those fleets of a wave again whose training failed or was cancelled."""
    session = session_of(ctx, output)
    with session.client() as client:
        ref = client.waves.retry(wave)
        if not wait:
            show_one(session, ref, _REF)
            return
        ended = follow(client, wave)
        show_one(session, ended, _SHOW)
    _conclude(ended)


@app.command(
    "promote",
    epilog=examples("atalaia waves promote WAVE --yes", "atalaia waves promote WAVE --skip-failed --dry-run"),
)
def promote_wave(
    ctx: typer.Context,
    wave: WaveArgument,
    skip_failed: Annotated[bool, typer.Option("--skip-failed", help="Leave out fleets that failed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Put all versions of a wave into Production at once."""
    from atalaia.connectors.atalaia import wave_error

    session = session_of(ctx, output)
    with session.client() as client:
        found = client.waves.get(wave)
        made = [fleet for fleet in found.fleets if fleet.version]
        if found.waiting:
            raise Conflict("wave_not_done", f"{found.waiting} trainings of {wave} have not ended")
        error = wave_error(found) if found.failed and not skip_failed else None
        if error:
            raise error
        if dry_run:
            plan = [{"fleet_id": f.fleet_id, "version": f.version, "series": f.series} for f in made]
            show_local(session, plan, _PLAN)
            return
        kept = f"; {found.failed} that failed keep what they have" if found.failed else ""
        note(f"{found.series:,} series of {len(made)} fleets go to Production at once{kept}.")
        agreed(yes)
        show_one(session, client.waves.promote(wave, skip_failed=skip_failed), _SHOW)


def follow(client: "Client", wave_id: str) -> "Wave":
    """Return the wave once all its trainings have ended, with a bar meanwhile."""
    with bar(f"wave {wave_id}", 1.0) as advance:
        return client.waves.wait(wave_id, on_change=lambda wave: advance(wave.progress))


def _conclude(wave: "Wave") -> None:
    """Say in a sentence what came out, and fail if that is not what was asked for."""
    from atalaia.connectors.atalaia import wave_error

    took = f" in {wave.seconds:,.0f} s" if wave.seconds is not None else ""
    empty = f"; {wave.empty} fleets had no points in the window" if wave.empty else ""
    note(f"Trained {wave.series:,} series on {wave.points:,} points{took}{empty}.")
    error = wave_error(wave)
    if error:
        if wave.failed:
            note(f"Once that is mended: atalaia waves retry {wave.wave_id}")
        raise error
