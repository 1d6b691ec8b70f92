"""``atalaia models verify`` and ``models key``: signatures of models. These look at the data folder itself."""

from dataclasses import asdict
from typing import Annotated

import typer

from atalaia.app.cli.models import FleetOption, OptionalSeries, key_of
from atalaia.app.cli.output import columns, note, show_local
from atalaia.app.cli.service import DataDir, settings_of
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

_CHECKED = columns("model", "version", "stage", "ok", "signature", "registry", "local_copy", "signed_by")
_KEY = columns("key_id", "public_key")
Pem = Annotated[bool, typer.Option("--pem", help="Write the key as PEM, and nothing else.")]


def verify_models(
    ctx: typer.Context,
    series: OptionalSeries = None,
    fleet: FleetOption = None,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check signatures and artefacts of a model, or of all; fails when one is wrong."""
    session = session_of(ctx, output)
    key = None if series is None and fleet is None else key_of(series, fleet)
    from atalaia.app.build import opened

    with opened(settings_of(data_dir, None, None)) as atalaia:
        rows = [asdict(checked) for checked in atalaia.lifecycle.verification.verified(key)]
    show_local(session, rows, _CHECKED)
    bad = sum(not row["ok"] for row in rows)
    if bad:
        note(f"{bad} of {len(rows)} versions are not what their trainings made; train them again.")
        raise typer.Exit(1)


def show_key(
    ctx: typer.Context, pem: Pem = False, data_dir: DataDir = None, output: OutputOption = Output.TABLE
) -> None:
    """Show the public key that verifies models of this installation, for `signing.trusted` elsewhere."""
    session = session_of(ctx, output)
    from atalaia.kit.signatures import Signatures
    from atalaia.kit.vault import keyring_in

    settings = settings_of(data_dir, None, None)
    keyring = keyring_in(settings.data_dir, settings.encryption)
    key_id, text, as_pem = Signatures(settings.signing, settings.data_dir, keyring).public_key()
    if pem:
        typer.echo(as_pem, nl=False)
        return
    show_local(session, [{"key_id": key_id, "public_key": text}], _KEY)


def add_to(app: typer.Typer) -> None:
    """Make these commands of `app`."""
    app.command("verify", epilog=examples("atalaia models verify", "atalaia models verify --fleet pumps -o json"))(
        verify_models
    )
    app.command("key", epilog=examples("atalaia models key", "atalaia models key --pem > models.pub.pem"))(show_key)
