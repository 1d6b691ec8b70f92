"""``atalaia privacy``: all data of one subject are erased, and the certificate of that."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atalaia.app.cli.jobs import follow
from atalaia.app.cli.models import agreed
from atalaia.app.cli.output import columns, note, show_local, show_one
from atalaia.app.cli.service import DataDir, settings_of
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.core.errors import Invalid, Missing

if TYPE_CHECKING:
    from atalaia.app.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Privacy: erase all data of one subject, and prove it.",
    epilog=examples("atalaia privacy erase --label user:ada --dry-run", "atalaia privacy verify certificate.json"),
)
_FOUND = columns("series", "series_ids=ids", "points", "anomalies", "models", "fleet_models=models of fleets")
_CERTIFICATE = columns(
    "certificate.certificate_id=certificate", "certificate.subject=subject", "certificate.asked_by=asked by",
    "certificate.done_at=done at", "certificate.counts=counts", "certificate.remains=remains",
    "certificate.to_do=to do", "signed_by", times=("certificate.done_at",),
)  # fmt: skip
_VERIFIED = columns("certificate", "signature", "is_of_subject=is of the subject", "ok")

SeriesId = Annotated[str | None, typer.Option("--series-id", help="Id of one series.")]
Label = Annotated[str | None, typer.Option("--label", help="A label, name:value: all series that have it.")]
CertificateId = Annotated[str, typer.Argument(metavar="CERTIFICATE", help="Id of the certificate.")]


@app.command(
    "erase",
    epilog=examples(
        "atalaia privacy erase --label user:ada --dry-run",
        "atalaia privacy erase --series-id 'watch 7' --yes --output json > certificate.json",
    ),
)
def erase_subject(
    ctx: typer.Context,
    series_id: SeriesId = None,
    label: Label = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Erase all data of one subject for good, and show the signed certificate."""
    from atalaia.connectors.atalaia import job_error

    _check_one(series_id, label)
    session = session_of(ctx, output)
    with session.client() as client:
        found = client.privacy.find(series_id=series_id, label=label)
        if dry_run:
            show_one(session, found, _FOUND)
            return
        things = (
            f"{found.series} series, {found.points} points, {found.anomalies} anomalies, {found.models} models go"
        )
        note(f"{things}; {found.fleet_models} models of fleets are written anew. Nothing brings them back.")
        agreed(yes)
        asked = client.privacy.erase(series_id=series_id, label=label)
        if error := job_error(follow(client, asked.job_id)):
            raise error
        show_one(session, client.privacy.certificate(asked.certificate_id), _CERTIFICATE)


@app.command(
    "certificate", epilog=examples("atalaia privacy certificate ERS", "atalaia privacy certificate ERS -o json")
)
def show_certificate(ctx: typer.Context, certificate: CertificateId, output: OutputOption = Output.TABLE) -> None:
    """Show a certificate of erasure."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.privacy.certificate(certificate), _CERTIFICATE)


@app.command(
    "verify",
    epilog=examples("atalaia privacy verify certificate.json", "atalaia privacy verify cert.json --label user:ada"),
)
def verify_certificate(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate, as `--output json` wrote it.")],
    series_id: SeriesId = None,
    label: Label = None,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check the signature of a certificate, and of whom it is if one is named; fails when either is wrong."""
    session = session_of(ctx, output)
    from atalaia.kit.erasures import judge
    from atalaia.kit.signatures import Signatures, Verdict

    if series_id is not None or label is not None:
        _check_one(series_id, label)
    settings, told = settings_of(data_dir, None, None), _read(file)
    verdict = judge(Signatures(settings.signing, settings.data_dir), told)
    is_of = None if series_id is None and label is None else _is_of(settings, told, series_id, label)
    ok = verdict is Verdict.GOOD and is_of is not False
    name: Any = told["certificate"].get("certificate_id", "")
    show_local(
        session, [{"certificate": name, "signature": verdict.value, "is_of_subject": is_of, "ok": ok}], _VERIFIED
    )
    if not ok:
        raise typer.Exit(1)


def _check_one(series_id: str | None, label: str | None) -> None:
    if (series_id is None) == (label is None):
        raise typer.BadParameter("name either a series or a label", param_hint="--series-id, --label")


def _read(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_bytes())
    except OSError as error:
        raise Missing("not_found", f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Invalid("invalid_json", f"{file} is not JSON: {error}") from error
    if not isinstance(told, dict) or not isinstance(told.get("certificate"), dict):  # pyright: ignore[reportUnknownMemberType]
        raise Invalid("invalid_request", f"{file} holds no certificate")
    return told  # pyright: ignore[reportUnknownVariableType]


def _is_of(settings: "Settings", told: dict[str, Any], series_id: str | None, label: str | None) -> bool:
    from atalaia.kit.erasures import Subject
    from atalaia.kit.privacy import Privacy
    from atalaia.kit.vault import keyring_in

    subject = Subject("series_id", series_id) if series_id is not None else Subject("label", label or "")
    keyring = keyring_in(settings.data_dir, settings.encryption)
    hashed = Privacy(settings.privacy, settings.data_dir, keyring).keyed(str(subject), may_make=False)
    certificate: dict[str, Any] = told["certificate"]
    said: dict[str, Any] = certificate.get("subject") or {}
    return f"hmac-sha256:{hashed}" in [*said.values()]
