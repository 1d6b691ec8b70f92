"""``atalaia audit``: what was done and answered, and whether the record of it is as it was written."""

from dataclasses import asdict
from typing import Annotated

import typer

from atalaia.app.cli.output import columns, note, show_local, show_pages
from atalaia.app.cli.series import Cursor, From, Limit, To
from atalaia.app.cli.service import DataDir, settings_of
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.times import optional_time

app = typer.Typer(
    no_args_is_help=True,
    help="The audit log: what people, jobs and models did.",
    epilog=examples("atalaia audit list --action model_promoted", "atalaia audit verify"),
)
_EVENTS = columns("sequence", "at", "actor", "action", "subject", "detail", times=("at",))
_FINDINGS = columns("where", "what")


@app.command(
    "list", epilog=examples("atalaia audit list --actor ada", "atalaia audit list --from 2026-01-01 -o ndjson")
)
def list_events(
    ctx: typer.Context,
    actor: Annotated[str | None, typer.Option(help="Only what they did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, like model_promoted.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only what was done to this.")] = None,
    from_: From = None,
    to: To = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List what was done, newest first."""
    session = session_of(ctx, output)
    start, end = optional_time(from_, "--from"), optional_time(to, "--to")
    with session.client() as client:
        show_pages(
            session,
            lambda rows, at: client.audit.events(
                actor=actor, action=action, subject=subject, from_=start, to=end, limit=rows, cursor=at
            ),
            _EVENTS,
            limit=limit,
            cursor=cursor,
        )


@app.command("verify", epilog=examples("atalaia audit verify", "atalaia audit verify --output json"))
def verify(ctx: typer.Context, data_dir: DataDir = None, output: OutputOption = Output.TABLE) -> None:
    """Walk the trail and all journals, local and exported; fails when something is not as it was written."""
    session = session_of(ctx, output)
    from atalaia.app.auditing import verify_audit

    verdict = verify_audit(settings_of(data_dir, None, None))
    looked = f"{verdict.events} events, {verdict.predictions} predictions in {verdict.journals} journals"
    if verdict.findings:
        show_local(session, [asdict(finding) for finding in verdict.findings], _FINDINGS)
        note(f"{looked}: {len(verdict.findings)} things are not as they were written.")
        raise typer.Exit(1)
    if output is not Output.TABLE:
        show_local(session, [], _FINDINGS)
    note(f"{looked}: all is as it was written.")


@app.command("export", epilog=examples("atalaia audit export", "atalaia audit export --data-dir /srv/atalaia"))
def export(data_dir: DataDir = None) -> None:
    """Export closed journals and the trail to the blob store now, as the service does by itself."""
    from atalaia.app.auditing import export_audit

    journals, events = export_audit(settings_of(data_dir, None, None))
    note(f"{journals} journals and {events} events exported.")
