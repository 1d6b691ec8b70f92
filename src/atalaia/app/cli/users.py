"""``atalaia users``: who may log in."""

from typing import Annotated

import typer

from atalaia.app.cli.output import columns, note, show_one, show_pages
from atalaia.app.cli.series import Cursor, Limit
from atalaia.app.cli.service import DataDir, settings_of
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

app = typer.Typer(
    no_args_is_help=True,
    help="Users: who may log in, and what they are.",
    epilog=examples("atalaia users add ada --role admin --local", "atalaia users list"),
)
_SHOWN = columns("name", "role", "is_disabled=disabled", "created_at", times=("created_at",))
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")]
Role = Annotated[str, typer.Option(help="viewer, data_scientist, ml_engineer, admin, agent or predictor.")]
Password = Annotated[
    str,
    typer.Option(
        prompt=True,
        confirmation_prompt=True,
        hide_input=True,
        envvar="ATALAIA_PASSWORD",
        help="Asked for unless given.",
    ),
]
Local = Annotated[
    bool, typer.Option("--local", help="Write to the database itself, as its owner may; no service is asked.")
]
_HERE = "command line"


@app.command(
    "add", epilog=examples("atalaia users add ada --role admin --local", "atalaia users add bob --role viewer")
)
def add_user(
    ctx: typer.Context,
    name: NameArgument,
    role: Role,
    password: Password,
    local: Local = False,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Add a user; the first one with --local, because nobody can log in yet."""
    session = session_of(ctx, output)
    if local:
        from atalaia.app.entrance import local_users
        from atalaia.kit.auth.permissions import parse_role

        with local_users(settings_of(data_dir, None, None)) as users, users.database.write() as writing:
            users.add(writing, name, password, parse_role(role), _HERE)
        note(f"{name} is there, as {role}.")
        return
    with session.client() as client:
        show_one(session, client.access.add_user(name, role, password), _SHOWN)


@app.command("list", epilog=examples("atalaia users list", "atalaia users list --output json"))
def list_users(
    ctx: typer.Context, limit: Limit = None, cursor: Cursor = None, output: OutputOption = Output.TABLE
) -> None:
    """List users in order of name."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_pages(
            session,
            lambda rows, at: client.access.users(limit=rows, cursor=at),
            _SHOWN,
            limit=limit,
            cursor=cursor,
        )


@app.command("disable", epilog=examples("atalaia users disable bob", "atalaia users disable bob --undo"))
def disable_user(
    ctx: typer.Context,
    name: NameArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let the user in again.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let a user in no longer; tokens that they have are refused from now on."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.access.change_user(name, is_disabled=not undo), _SHOWN)


@app.command(
    "set-role",
    epilog=examples("atalaia users set-role bob ml_engineer", "atalaia users set-role bob viewer -o json"),
)
def set_role(
    ctx: typer.Context,
    name: NameArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="What the user shall be.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a user something else; they have to log in again."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.access.change_user(name, role=role), _SHOWN)


@app.command(
    "set-password",
    epilog=examples("atalaia users set-password bob", "atalaia users set-password ada --local"),
)
def set_password(
    ctx: typer.Context,
    name: NameArgument,
    password: Password,
    local: Local = False,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give a user another password; with --local also when nobody can log in any more."""
    session = session_of(ctx, output)
    if local:
        from atalaia.app.entrance import local_users

        with local_users(settings_of(data_dir, None, None)) as users, users.database.write() as writing:
            users.change(writing, name, _HERE, password=password)
        note(f"{name} has another password.")
        return
    with session.client() as client:
        show_one(session, client.access.change_user(name, password=password), _SHOWN)


@app.command("remove", epilog=examples("atalaia users remove bob", "atalaia users remove bob --dry-run"))
def remove_user(
    ctx: typer.Context,
    name: NameArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> None:
    """Remove a user."""
    session = session_of(ctx)
    if dry_run:
        note(f"{name} would be removed, and their tokens refused.")
        return
    with session.client() as client:
        client.access.remove_user(name)
    note(f"{name} is removed.")
