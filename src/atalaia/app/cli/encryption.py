"""``atalaia encryption``: on the site itself, as its owner may; no service is asked."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from atalaia.app.cli.output import columns, note, show_local
from atalaia.app.cli.progress import bar
from atalaia.app.cli.service import DataDir, settings_of
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

if TYPE_CHECKING:
    from atalaia.app.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Encryption at rest: of secrets, and of objects.",
    epilog=examples("atalaia encryption rotate --dry-run", "atalaia encryption rotate --output json"),
)
_WAIT_S = 60.0
_ROTATED = columns("objects", "current", "earlier", "clear", "done", "failed")
_FOLDERS = ("audit", "history", "memory", "models")
"""What the site keeps in its store; nothing else that lies there is touched unless it is sealed."""


@app.command(
    "rotate", epilog=examples("atalaia encryption rotate --dry-run", "atalaia encryption rotate --output json")
)
def rotate(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let the current key open all that earlier keys did, and seal what is not; can be interrupted and repeated."""
    from atalaia.app.build import open_blobs
    from atalaia.kit.blobs import State, renew, unheard
    from atalaia.kit.keyring import unusable
    from atalaia.kit.vault import keyring_in, open_vault

    session = session_of(ctx, output)
    settings = settings_of(data_dir, None, None)
    keyring = (keyring_in if dry_run else open_vault)(settings.data_dir, settings.encryption)
    if not keyring.seals:
        raise unusable("key_file", "there is no key to seal with; set it, or encryption.passphrase_file")
    blobs = open_blobs(settings, keyring)
    with nullcontext(unheard) if dry_run else _turn(settings) as go_on, bar("Sealing", 1.0) as advance:
        told = renew(blobs, _FOLDERS, dry_run=dry_run, report=lambda done, of: advance(done / of), go_on=go_on)
    row = {
        "objects": told.states.total() + len(told.failed),
        "current": told.states[State.SEALED],
        "earlier": told.states[State.EARLIER],
        "clear": told.states[State.CLEAR],
        "done": told.done,
        "failed": len(told.failed),
    }
    show_local(session, [row], _ROTATED)
    for error in list(told.failed.values())[:5]:
        note(error.detail)
    if told.failed:
        note("Earlier keys are still needed: do not drop them.")
        raise typer.Exit(1)
    if not dry_run:
        note("The current key opens all that is sealed; once all processes use it, earlier ones can be dropped.")


@contextmanager
def _turn(settings: "Settings") -> "Generator[Callable[[], None]]":
    """Wait for erasures that delete just now; yield what says whether a rotation may go on."""
    from atalaia.app.entrance import migrated
    from atalaia.kit.blobs.turns import alone

    with migrated(settings) as database, alone(database, wait_s=_WAIT_S) as go_on:
        yield go_on
