"""``atalaia models``: versions, and which of them answers."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from atalaia.app.cli.output import columns, note, show_local, show_one, show_pages, show_rows
from atalaia.app.cli.series import Cursor, Limit, SeriesArgument
from atalaia.app.cli.session import Output, OutputOption, Session, examples, session_of
from atalaia.core.errors import Conflict, Missing
from atalaia.core.models import ModelKey, Scope, Stage

if TYPE_CHECKING:
    from atalaia.connectors.atalaia import Model, Version

app = typer.Typer(
    no_args_is_help=True,
    help="Models: their versions, and which of them answers.",
    epilog=examples("atalaia models show 'pump 7'", "atalaia models promote 'pump 7' --version v2"),
)
_LIST = columns(
    "model_id=model", "production_version=production", "challenger_version=challenger", "latest_version=latest"
)
_VERSIONS = columns(
    "version", "stage", "algorithm", "hyperparameters", "series_count", "bytes", "created_at", "promoted_at",
    "metrics", "selection.reason=why",
    times=("created_at", "promoted_at"),
)  # fmt: skip
_PROMOTION = columns(
    "model_id=model", "version", "stage", "previous_version=previous", "promoted_at", times=("promoted_at",)
)
_PLAN = columns("model_id=model", "version", "algorithm", "from_stage", "replaces", "replaced_becomes")
_CHALLENGE = columns("model_id=model", "version=production", "challenger")
_CHALLENGE_PLAN = columns("model_id=model", "version=production", "challenger", "before=challenger before")
_METRICS = columns("window", "predictions", "anomalies", "anomaly_rate", "score", "training", "drift")
_READINESS = columns(
    "series_id=series",
    "state",
    "confidence",
    "points",
    "days",
    "peers",
    "missing",
    "model_id=model",
    "version",
    "algorithm",
)
_RELOADED = columns("model_id=model", "version", "loaded_from", "load_seconds")

OptionalSeries = Annotated[str | None, typer.Argument(metavar="SERIES", help="Name of the series.")]
FleetOption = Annotated[str | None, typer.Option("--fleet", help="A fleet's model instead of a series' own.")]


AssetOption = Annotated[str | None, typer.Option("--asset", help="The model of an asset: of all its sensors.")]


def key_of(series: str | None, fleet: str | None, asset: str | None = None) -> ModelKey:
    """Return the model that is meant: of one series, of one fleet, or of one asset."""
    named = {Scope.SERIES: series, Scope.FLEET: fleet, Scope.ASSET: asset}
    keys = [ModelKey(scope, name) for scope, name in named.items() if name is not None]
    if len(keys) != 1:
        raise typer.BadParameter("name one SERIES, or a fleet with --fleet, or an asset", param_hint="SERIES")
    return keys[0]


@app.command("list", epilog=examples("atalaia models list", "atalaia models list --output ndjson"))
def list_models(
    ctx: typer.Context, limit: Limit = None, cursor: Cursor = None, output: OutputOption = Output.TABLE
) -> None:
    """List the models."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_pages(
            session, lambda rows, at: client.models.list(limit=rows, cursor=at), _LIST, limit=limit, cursor=cursor
        )


@app.command("show", epilog=examples("atalaia models show 'pump 7'", "atalaia models show --fleet pumps -o json"))
def show_model(
    ctx: typer.Context,
    series: OptionalSeries = None,
    fleet: FleetOption = None,
    asset: AssetOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the versions of a model."""
    session = session_of(ctx, output)
    key = key_of(series, fleet, asset)
    with session.client() as client:
        show_rows(session, client.models.get(key).versions, _VERSIONS)


@app.command(
    "promote",
    epilog=examples("atalaia models promote pump7 --version v2", "atalaia models promote --fleet pumps --dry-run"),
)
def promote_model(
    ctx: typer.Context,
    series: OptionalSeries = None,
    fleet: FleetOption = None,
    asset: AssetOption = None,
    version: Annotated[str | None, typer.Option(help="Which; by default the newest in Staging.")] = None,
    keep_previous: Annotated[bool, typer.Option("--keep-previous", help="Do not archive the old one.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Put a version that stands in Staging into Production."""
    session = session_of(ctx, output)
    key = key_of(series, fleet, asset)
    with session.client() as client:
        plan = plan_promotion(client.models.get(key), version, keep_previous)
        if dry_run:
            show_local(session, [plan], _PLAN)
            return
        note(told(plan))
        agreed(yes)
        promotion = client.models.promote(key, plan["version"] or "", archive_previous=not keep_previous)
        show_one(session, promotion, _PROMOTION)


@app.command(
    "challenge",
    epilog=examples(
        "atalaia models challenge 'pump 7' --version v2",
        "atalaia models challenge --fleet pumps",
        "atalaia models challenge --fleet pumps --none",
    ),
)
def challenge_model(
    ctx: typer.Context,
    series: OptionalSeries = None,
    fleet: FleetOption = None,
    version: Annotated[str | None, typer.Option(help="Which; by default the newest in Staging.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Let no version challenge any more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Score a version in Staging beside the one in Production; nothing of it is answered."""
    if none and version is not None:
        raise typer.BadParameter("either a version challenges, or none", param_hint="--none")
    session = session_of(ctx, output)
    key = key_of(series, fleet)
    with session.client() as client:
        model = client.models.get(key)
        challenger = None if none else staged(model, version, "a challenger").version
        if dry_run:
            plan = {"model_id": model.model_id, "version": model.production_version, "challenger": challenger}
            show_local(session, [{**plan, "before": model.challenger_version}], _CHALLENGE_PLAN)
            return
        show_one(session, client.models.challenge(key, challenger), _CHALLENGE)


def plan_promotion(model: "Model", version: str | None, keep_previous: bool) -> dict[str, str | None]:
    """Return what a promotion would change; see `staged` for what it refuses."""
    chosen = staged(model, version, "promoted")
    replaces = model.production_version
    becomes = Stage.STAGING if keep_previous else Stage.ARCHIVED
    return {
        "model_id": model.model_id,
        "version": chosen.version,
        "algorithm": chosen.algorithm,
        "from_stage": chosen.stage,
        "replaces": replaces,
        "replaced_becomes": None if replaces is None else becomes.value,
    }


def staged(model: "Model", version: str | None, to_be: str) -> "Version":
    """Return the version in Staging that is meant, without a name the newest.

    Raises
    ------
    Missing
        When there is no such version.
    Conflict
        When the named version, or without a name every version, stands elsewhere than in Staging.
    """
    number = _number(version) if version else None
    waiting = [one for one in model.versions if one.stage == Stage.STAGING]
    found = [one for one in model.versions if _number(one.version) == number] if number is not None else waiting
    if not found and version:
        raise Missing("unknown_version", f"{model.model_id} has no version {version}")
    if not found:
        raise Conflict("nothing_staged", f"{model.model_id} has no version in Staging; train one first")
    chosen = max(found, key=lambda one: _number(one.version))
    if chosen.stage != Stage.STAGING:
        where = f"{chosen.version} of {model.model_id} is in {chosen.stage}"
        raise Conflict("not_in_staging", f"{where}, only a version in Staging can be {to_be}")
    return chosen


def _number(version: str) -> int:
    from atalaia.core.models import parse_version

    return parse_version(version)


def told(plan: dict[str, str | None]) -> str:
    """Return a plan as a sentence."""
    replaced = f"replaces {plan['replaces']}, which becomes {plan['replaced_becomes']}"
    return (
        f"{plan['model_id']}: {plan['version']} ({plan['algorithm']}) goes from {plan['from_stage']} to Production"
        f" and {replaced if plan['replaces'] else 'is the first there'}."
    )


def agreed(yes: bool) -> None:
    """Ask whether to go on, unless that was said before; leave the program if not."""
    if yes:
        return
    sys.stderr.write("Go on? [y/N] ")  # typer.confirm would write to stdout, where data goes
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        note("Nothing was changed. Answer y, or pass --yes, to go on.")
        raise typer.Exit(1)


@app.command(
    "metrics", epilog=examples("atalaia models metrics 'pump 7'", "atalaia models metrics 'pump 7' --window 7d")
)
def show_metrics(
    ctx: typer.Context,
    series: SeriesArgument,
    window: Annotated[str, typer.Option(help="How far back, like 24h.")] = "24h",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show how the model of a series does, and whether its data drifted."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.models.metrics(ModelKey(Scope.SERIES, series), window), _METRICS)


@app.command(
    "readiness", epilog=examples("atalaia models readiness 'pump 7'", "atalaia models readiness nab/cpu -o json")
)
def show_readiness(ctx: typer.Context, series: SeriesArgument, output: OutputOption = Output.TABLE) -> None:
    """Show what the model that answers for a series has learnt of it, and what is missing."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.models.readiness(series), _READINESS)


@app.command("reload", epilog=examples("atalaia models reload 'pump 7'", "atalaia models reload 'pump 7' -o json"))
def reload_model(ctx: typer.Context, series: SeriesArgument, output: OutputOption = Output.TABLE) -> None:
    """Load the model of a series again."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.models.reload(series), _RELOADED)


def promote_now(session: Session, key: ModelKey, version: str) -> None:
    """Promote without asking and write the answer."""
    with session.client() as client:
        note(told(plan_promotion(client.models.get(key), version, keep_previous=False)))
        show_one(session, client.models.promote(key, version), _PROMOTION)
