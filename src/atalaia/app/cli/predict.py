"""``atalaia predict``: the score of one value."""

from typing import Annotated

import typer

from atalaia.app.cli.output import columns, show_one
from atalaia.app.cli.series import SeriesArgument
from atalaia.app.cli.session import Output, OutputOption, examples, session_of
from atalaia.app.cli.times import optional_time

_SHOW = columns(
    "series_id=series", "timestamp=time", "value", "anomaly", "anomaly_score=score", "confidence",
    "explanation.expected", "explanation.lower", "explanation.upper", "explanation.text=why",
    "model_info.model_id=model", "model_info.version", "model_info.stage", "model_info.type",
    "model_info.loaded_from",
    times=("timestamp",),
)  # fmt: skip


def predict(
    ctx: typer.Context,
    series: SeriesArgument,
    value: Annotated[float, typer.Argument(metavar="VALUE", help="What was seen.")],
    at: Annotated[str | None, typer.Option(help="When: RFC 3339, Unix seconds, local time. Default: now.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Score one value without keeping it."""
    from atalaia.core.clock import utc_now

    session = session_of(ctx, output)
    moment = optional_time(at, "--at") or utc_now()
    with session.client() as client:
        show_one(session, client.predict(series, value, moment), _SHOW)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(
        "predict",
        context_settings={"ignore_unknown_options": True},  # -3.5 is a value
        epilog=examples(
            "atalaia predict 'pump 7' 91.5", "atalaia predict 'pump 7' -3.5 --at 2014-04-10T07:15:00Z --output json"
        ),
    )(predict)
