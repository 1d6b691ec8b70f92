"""``atalaia train``: learn a model from history."""

import json
from typing import Annotated, Any

import typer

from atalaia.app.cli.jobs import SHOW, follow
from atalaia.app.cli.models import AssetOption, FleetOption, OptionalSeries, key_of, promote_now
from atalaia.app.cli.output import columns, note, show_one
from atalaia.app.cli.series import pairs
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.core.errors import Broken

_REF = columns("job_id=job", "status", "status_url")
Algorithm = Annotated[
    str | None,
    typer.Option(
        help="statistical, robust_zscore, seasonal_profile, streaming, memory_bank, lstm, autoencoder, or auto,"
        " which lets the history choose; by default the service's. Of an asset: relations, the default, or"
        " isolation_forest."
    ),
]
WindowHours = Annotated[float | None, typer.Option(help="Learn from the last so many hours.")]
Priority = Annotated[int | None, typer.Option(min=0, max=9, help="The higher comes first.")]


def train(
    ctx: typer.Context,
    series: OptionalSeries = None,
    fleet: FleetOption = None,
    asset: AssetOption = None,
    algorithm: Algorithm = None,
    window_hours: WindowHours = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter, name=value.")] = None,
    priority: Priority = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended.")] = False,
    promote: Annotated[bool, typer.Option("--promote", help="Wait, and promote what came out.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Train a model of a series, a fleet or an asset on its stored history."""
    from atalaia.connectors.atalaia import TrainingConfig, job_error

    session = session_of(ctx, output)
    key = key_of(series, fleet, asset)
    config = TrainingConfig(window_hours, algorithm, hyperparameters(pairs(settings, "--set")))
    with session.client() as client:
        ref = client.training.start(key, config, priority=priority)
        if not (wait or promote):
            show_one(session, ref, _REF)
            note(f"Follow it with: atalaia jobs watch {ref.job_id}")
            return
        job = follow(client, ref.job_id)
    error = job_error(job)
    if error:
        raise error
    if not promote:
        show_one(session, job, SHOW)
        return
    if not job.model_version:
        raise Broken("no_version", f"job {job.job_id} is completed but names no version")
    promote_now(session, key, job.model_version)


def hyperparameters(texts: dict[str, str]) -> dict[str, Any]:
    """Return each value as the JSON that it is, else as text."""
    return {name: _json(text) for name, text in texts.items()}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(
        "train",
        epilog=examples(
            "atalaia train 'pump 7' --wait --promote",
            "atalaia train --fleet pumps --algorithm statistical --set threshold_sigma=3.5",
            "atalaia train --asset 'press 3' --wait --promote",
        ),
    )(train)
