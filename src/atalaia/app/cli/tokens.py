"""``atalaia tokens``: tokens for programs."""

import sys
from typing import Annotated

import typer

from atalaia.app.cli.output import columns, note, show_one, show_pages
from atalaia.app.cli.series import Cursor, Limit
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

app = typer.Typer(
    no_args_is_help=True,
    help="Tokens for programs.",
    epilog=examples("atalaia tokens create prometheus --role agent", "atalaia tokens list"),
)
_TIMES = ("created_at", "expires_at", "revoked_at")
_LIST = columns(
    "token_id=token", "name", "role", "created_by", "created_at", "expires_at", "revoked_at", times=_TIMES
)  # fmt: skip
_MADE = columns("name", "role", "token_id", "expires_in", "access_token")


@app.command(
    "create",
    epilog=examples(
        "atalaia tokens create prometheus --role agent --days 90",
        "atalaia tokens create grafana --role viewer --output json",
    ),
)
def create_token(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the program is called.")],
    role: Annotated[str, typer.Option(help="agent brings points, predictor asks for scores, viewer reads.")],
    days: Annotated[float, typer.Option(min=0.0, help="How long it is good.")] = 90.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a token for a program and write it to stdout, this once."""
    session = session_of(ctx, output)
    with session.client() as client:
        token = client.access.make_token(name, role, days)
        if output is not Output.TABLE:
            show_one(session, token, _MADE)
            return
    sys.stdout.write(token.access_token + "\n")
    note(f"This is shown once. `atalaia tokens revoke {token.token_id}` takes it back.")


@app.command("list", epilog=examples("atalaia tokens list", "atalaia tokens list --output json"))
def list_tokens(
    ctx: typer.Context, limit: Limit = None, cursor: Cursor = None, output: OutputOption = Output.TABLE
) -> None:
    """List tokens for programs, the newest first."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_pages(
            session,
            lambda rows, at: client.access.tokens(limit=rows, cursor=at),
            _LIST,
            limit=limit,
            cursor=cursor,
        )


@app.command("revoke", epilog=examples("atalaia tokens revoke TOKEN", "atalaia tokens revoke TOKEN --dry-run"))
def revoke_token(
    ctx: typer.Context,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Id of the token, as the list shows it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> None:
    """Refuse a token from now on."""
    session = session_of(ctx)
    if dry_run:
        note(f"Requests with {token} would be refused.")
        return
    with session.client() as client:
        client.access.revoke(token)
    note(f"{token} is revoked.")
