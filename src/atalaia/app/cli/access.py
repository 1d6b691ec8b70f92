"""``atalaia login``, ``logout`` and ``whoami``."""

from typing import Annotated

import typer

from atalaia.app.cli.keyring import store_token
from atalaia.app.cli.output import columns, note, show_one
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

_ME = columns("subject", "role", "permissions", "expires_at", times=("expires_at",))


def login(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")],
    password: Annotated[
        str,
        typer.Option(prompt=True, hide_input=True, envvar="ATALAIA_PASSWORD", help="Asked for unless given."),
    ],
) -> None:
    """Log in; commands use the token until it ends."""
    session = session_of(ctx)
    with session.client() as client:
        token = client.access.login(name, password)
    file = store_token(session.url, token.access_token)
    note(f"Logged in as {name} ({token.role}) for {token.expires_in // 60} minutes; the token is in {file}.")


def logout(ctx: typer.Context) -> None:
    """Forget the token of the last login."""
    session = session_of(ctx)
    store_token(session.url, None)
    note(f"Logged out of {session.url}.")


def whoami(ctx: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """Show who commands are to the service, and what they may do."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.access.me(), _ME)


def add_to(app: typer.Typer) -> None:
    """Make these commands of `app`."""
    app.command("login", epilog=examples("atalaia login ada", "atalaia login bob@example.org"))(login)
    app.command("logout", epilog=examples("atalaia logout", "atalaia logout --help"))(logout)
    app.command("whoami", epilog=examples("atalaia whoami", "atalaia whoami --output json"))(whoami)
