"""A check-up: what the service keeps, and the parts that it stands on, each with what to do about it."""

from sqlalchemy import text

from atalaia.app.build import Atalaia, build
from atalaia.app.entrance import database_of
from atalaia.app.outside import Finding, finding, outside
from atalaia.app.settings import Settings
from atalaia.core.errors import AtalaiaError, Broken, Conflict, Invalid, Unavailable
from atalaia.core.models import artefact_key
from atalaia.kit.blobs import unopened
from atalaia.kit.signatures import Verdict


def diagnose(settings: Settings) -> list[Finding]:
    """Check what the service keeps, and the parts that the settings name; nothing is started."""
    parts = outside(settings)
    if not settings.data_dir.exists():
        advice = "start the service once: `atalaia up`"
        return [Finding("data folder", False, f"{settings.data_dir} does not exist", advice), *parts]
    findings = [
        finding("data folder", lambda: _check_folder(settings), "make the folder writable, free some space"),
        finding("database", lambda: _check_database(settings), "start it; if it is damaged, restore a backup"),
    ]
    if all(found.ok for found in findings):
        findings += _kept(settings)
    return [*findings, *parts]


def _kept(settings: Settings) -> list[Finding]:
    """Check what a site keeps whose database answers."""
    try:
        atalaia = build(settings)
    except Invalid as error:
        return [Finding("settings", False, error.detail, "correct the named setting")]
    except AtalaiaError as error:
        advice = "start the release of Atalaia that wrote it, or a later one"
        return [Finding("schema", False, error.detail, advice)]
    objects = "look at the object store, its network and our keys to it; copies of objects answer meanwhile"
    sealed = (
        "name the key that sealed them in `encryption.previous`, then run `atalaia encryption rotate`;"
        " restore those that are damaged"
    )
    models = "train and promote the named models again; if a key is unknown, put `secrets/` back or trust the key"
    registry = "loaded models and local copies answer meanwhile; restore the folder, or remove it and train anew"
    try:
        return [
            finding("objects", atalaia.blobs.check, objects),
            finding("encryption", lambda: _check_seals(atalaia), sealed),
            finding("history", lambda: _check_blocks(atalaia), "restore the named blocks from a backup"),
            finding("models", lambda: _check_models(atalaia), models),
            finding("registry", lambda: _check_registry(atalaia), registry),
            *_broker(atalaia),
        ]
    finally:
        atalaia.database.close()


def _broker(atalaia: Atalaia) -> list[Finding]:
    dispatcher = atalaia.dispatcher
    if dispatcher is None:
        return []
    advice = "start RabbitMQ, or correct broker_url; jobs are accepted and wait meanwhile"
    return [finding("broker", lambda: f"RabbitMQ answers; {dispatcher.depth():g} wake-ups wait", advice)]


def _check_folder(settings: Settings) -> str:
    probe = settings.data_dir / ".doctor"
    probe.write_bytes(b"x" * 4096)
    probe.unlink()
    return f"{settings.data_dir} can be written"


def _check_database(settings: Settings) -> str:
    database = database_of(settings)
    try:
        with database.read() as session:
            if database.is_sqlite:
                told = session.scalar(text("PRAGMA quick_check(1)"))
                if told != "ok":
                    raise Unavailable("database_unavailable", f"the database is damaged: {told}")
            else:
                session.execute(text("SELECT 1"))
    finally:
        database.close()
    return "the database can be read and is sound"


def _check_blocks(atalaia: Atalaia) -> str:
    bad = atalaia.signals.history.damaged()
    if bad:
        raise Unavailable("database_unavailable", f"{len(bad)} damaged or missing blocks: {', '.join(bad[:5])}")
    return f"all blocks are whole; {atalaia.signals.lag()} batches wait to be scored"


def _check_seals(atalaia: Atalaia) -> str:
    if atalaia.settings.blobs_url is not None and not atalaia.keyring:
        return "nothing is sealed, by the settings"
    bad = unopened(atalaia.blobs)
    if bad:
        named = ", ".join(f"{key} ({error.code})" for key, error in list(bad.items())[:5])
        raise Broken("unknown_key", f"{len(bad)} objects cannot be opened: {named}")
    told = "secrets and new objects are" if atalaia.blobs.seals.writes else "secrets are"
    return f"all objects can be opened; {told if atalaia.keyring.seals else 'nothing is'} sealed"


def _check_models(atalaia: Atalaia) -> str:
    deployed = atalaia.serving.models.deployments()
    bad: list[str] = []
    refused: list[str] = []
    verdicts: list[Verdict] = []
    for deployment in deployed:
        try:
            atalaia.blobs.get(artefact_key(deployment.sha256), deployment.sha256)
        except AtalaiaError:
            bad.append(str(deployment.key))
        said, signature, signed_by = deployment.statement.encoded(), deployment.signature, deployment.signed_by
        verdicts.append(atalaia.signatures.judge(said, signature, signed_by))
        if not atalaia.signatures.accepts(verdicts[-1]):
            refused.append(f"{deployment.key} ({verdicts[-1].value})")
    if bad:
        raise Unavailable(
            "database_unavailable", f"{len(bad)} models without a sound local copy: {', '.join(bad[:5])}"
        )
    if refused:
        raise Conflict("model_refused", f"{len(refused)} models are refused: {', '.join(refused[:5])}")
    unsigned = len(verdicts) - verdicts.count(Verdict.GOOD)
    told = f"; {unsigned} without a signature" if unsigned else ", and signed"
    return f"{len(deployed)} models in Production, each with a sound local copy{told}"


def _check_registry(atalaia: Atalaia) -> str:
    atalaia.registry.check()
    return "MLflow answers"
