"""``atalaia jobs``: training and all other long work."""

from typing import TYPE_CHECKING, Annotated

import typer

from atalaia.app.cli.output import columns, show_one, show_pages
from atalaia.app.cli.progress import bar
from atalaia.app.cli.series import Cursor, Limit
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

if TYPE_CHECKING:
    from atalaia.connectors.atalaia import Client, Job

app = typer.Typer(
    no_args_is_help=True,
    help="Jobs: training and all other long work.",
    epilog=examples("atalaia jobs list --status failed", "atalaia jobs watch JOB"),
)
_TIMES = ("created_at", "started_at", "finished_at")
_LIST = columns(
    "job_id=job", "kind", "status", "progress", "series_id=series", "fleet_id=fleet", "model_version", "created_at",
    "error.detail=error",
    times=_TIMES,
)  # fmt: skip
SHOW = columns(
    "job_id=job", "kind", "status", "progress", "series_id=series", "fleet_id=fleet", "attempts", "model_version",
    "created_at", "started_at", "finished_at", "error.detail=error", "result",
    times=_TIMES,
)  # fmt: skip
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]


@app.command("list", epilog=examples("atalaia jobs list", "atalaia jobs list --status processing --output json"))
def list_jobs(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="queued, processing, completed, failed or cancelled.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List jobs, the newest first."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_pages(
            session,
            lambda rows, at: client.jobs.list(status=status, limit=rows, cursor=at),
            _LIST,
            limit=limit,
            cursor=cursor,
        )


@app.command("show", epilog=examples("atalaia jobs show JOB", "atalaia jobs show JOB --output json"))
def show_job(ctx: typer.Context, job: JobArgument, output: OutputOption = Output.TABLE) -> None:
    """Show one job."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.jobs.get(job), SHOW)


@app.command("watch", epilog=examples("atalaia jobs watch JOB", "atalaia jobs watch JOB --output json"))
def watch_job(ctx: typer.Context, job: JobArgument, output: OutputOption = Output.TABLE) -> None:
    """Follow a job to its end; fails when the job does."""
    from atalaia.connectors.atalaia import job_error

    session = session_of(ctx, output)
    with session.client() as client:
        ended = follow(client, job)
        show_one(session, ended, SHOW)
    error = job_error(ended)
    if error:
        raise error


@app.command("cancel", epilog=examples("atalaia jobs cancel JOB", "atalaia jobs cancel JOB --output json"))
def cancel_job(ctx: typer.Context, job: JobArgument, output: OutputOption = Output.TABLE) -> None:
    """Ask a job to stop."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.jobs.cancel(job), SHOW)


def follow(client: "Client", job_id: str) -> "Job":
    """Return the job once it has ended, with a bar meanwhile."""
    with bar(f"job {job_id}", 1.0) as advance:
        return client.jobs.wait(job_id, on_change=lambda job: advance(job.progress or 0.0))
