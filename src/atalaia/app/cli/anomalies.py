"""``atalaia anomalies``: what was found, and what it was worth."""

from typing import Annotated

import typer

from atalaia.app.cli.explanations import anomaly_lines, show_page
from atalaia.app.cli.output import columns, show_one, show_pages
from atalaia.app.cli.series import Cursor, From, Limit, To
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.times import optional_time

app = typer.Typer(
    no_args_is_help=True,
    help="Anomalies: intervals in which a series left its band.",
    epilog=examples("atalaia anomalies list --state open", "atalaia anomalies feedback ANOMALY noise"),
)
_TIMES = ("from", "to", "last_at", "peak_at")
_LIST = columns(
    "anomaly_id=anomaly", "series_id=series", "state", "from", "to", "peak_score=score", "expected", "lower",
    "upper", "seen", "model.algorithm", "model.version",
    times=_TIMES,
)  # fmt: skip
_SHOW = columns(
    "anomaly_id=anomaly", "series_id=series", "state", "from", "to", "last_at", "peak_at", "peak_score", "points",
    "seen", "expected", "lower", "upper", "part", "explanation", "model.model_id=model", "model.version",
    "model.algorithm", "feedback",
    times=_TIMES,
)  # fmt: skip
_FEEDBACK = columns("kind", "note", "created_at=given at", times=("created_at",))
AnomalyArgument = Annotated[str, typer.Argument(metavar="ANOMALY", help="Id of the anomaly.")]


@app.command(
    "list",
    epilog=examples("atalaia anomalies list --series 'pump 7' --from 2014-04-10", "atalaia anomalies list -o csv"),
)
def list_anomalies(
    ctx: typer.Context,
    series: Annotated[str | None, typer.Option(help="Only of this series.")] = None,
    from_: From = None,
    to: To = None,
    state: Annotated[str | None, typer.Option(help="open or closed.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List anomalies with their score, expected value and band."""
    session = session_of(ctx, output)
    start, end = optional_time(from_, "--from"), optional_time(to, "--to")
    with session.client() as client:
        show_pages(
            session,
            lambda rows, at: client.anomalies.list(
                series_id=series, from_=start, to=end, state=state, limit=rows, cursor=at
            ),
            _LIST,
            limit=limit,
            cursor=cursor,
        )


@app.command("show", epilog=examples("atalaia anomalies show ANOMALY", "atalaia anomalies show ANOMALY -o json"))
def show_anomaly(ctx: typer.Context, anomaly: AnomalyArgument, output: OutputOption = Output.TABLE) -> None:
    """Show one anomaly, why it is one, and what people said of it."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.anomalies.get(anomaly), _SHOW)


@app.command(
    "explain", epilog=examples("atalaia anomalies explain ANOMALY", "atalaia anomalies explain ANOMALY -o json")
)
def explain_anomaly(ctx: typer.Context, anomaly: AnomalyArgument, output: OutputOption = Output.TABLE) -> None:
    """Say why there is an anomaly, how rare it is, what was strange with it, and what looked like it before."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_page(session, anomaly_lines(client.anomalies.explain(anomaly)))


@app.command(
    "feedback",
    epilog=examples(
        "atalaia anomalies feedback ANOMALY useful", "atalaia anomalies feedback ANOMALY expected --note 'a backup'"
    ),
)
def give_feedback(
    ctx: typer.Context,
    anomaly: AnomalyArgument,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="useful, noise or expected.")],
    text: Annotated[str, typer.Option("--note", help="Why.")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what an anomaly was worth."""
    session = session_of(ctx, output)
    with session.client() as client:
        show_one(session, client.anomalies.give_feedback(anomaly, kind, text), _FEEDBACK)
