"""The program: its flags, its nouns, and how it ends."""

import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from atalaia.app.cli import (
    access,
    anomalies,
    assets,
    audit,
    backups,
    bench,
    encryption,
    events,
    fleets,
    jobs,
    models,
    points,
    predict,
    privacy,
    rootcause,
    series,
    service,
    thresholds,
    tokens,
    train,
    users,
    verification,
    waves,
)
from atalaia.app.cli.failures import BROKEN_PIPE_EXIT, hush_stdout, report
from atalaia.app.cli.output import note
from atalaia.app.cli.session import DEFAULT_URL, Session, examples, session_of
from atalaia.core.errors import AtalaiaError


class Program(TyperGroup):
    """Turns errors into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        session: Session = ctx.ensure_object(Session)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where a reader that has left can still be forgiven
        except AtalaiaError as error:
            if session.debug:
                traceback.print_exc()
            raise typer.Exit(report(error, session.output)) from None
        except BrokenPipeError:
            hush_stdout()
            raise typer.Exit(BROKEN_PIPE_EXIT) from None
        return result


app = typer.Typer(
    name="atalaia",
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help starts three times as fast
    pretty_exceptions_enable=False,
    epilog=examples("atalaia demo", "atalaia anomalies list --state open", "atalaia series list --output ndjson"),
)
service.add_to(app)
train.add_to(app)
verification.add_to(models.app)
predict.add_to(app)
rootcause.add_to(app)
access.add_to(app)
backups.add_to(app)
for noun, commands in {
    "series": series.app,
    "fleets": fleets.app,
    "assets": assets.app,
    "points": points.app,
    "anomalies": anomalies.app,
    "thresholds": thresholds.app,
    "budgets": thresholds.budgets,
    "events": events.app,
    "models": models.app,
    "jobs": jobs.app,
    "waves": waves.app,
    "users": users.app,
    "tokens": tokens.app,
    "audit": audit.app,
    "encryption": encryption.app,
    "privacy": privacy.app,
    "bench": bench.app,
}.items():
    app.add_typer(commands, name=noun)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"atalaia {version('atalaia')}")
        raise typer.Exit


@app.callback()
def flags(
    ctx: typer.Context,
    url: Annotated[str, typer.Option(envvar="ATALAIA_URL", help="Where the service listens.")] = DEFAULT_URL,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ATALAIA_TOKEN", help="Token, if the service asks for one; without it, that of the last login."
        ),
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for an answer.")] = 30.0,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Atalaia watches every series, explains every anomaly, governs every model that does so."""
    session = session_of(ctx)
    session.url, session.token, session.timeout_s, session.debug = url, token, timeout_s, debug


def main() -> None:
    """Run the command line."""
    session = Session()
    try:
        app(obj=session)
    except Exception as error:  # a fault of ours: one line for people, the rest for those who ask
        if session.debug:
            raise
        note(f"error: {type(error).__name__}: {error}\nThis is a fault in Atalaia; --debug shows where it is.")
        sys.exit(1)
