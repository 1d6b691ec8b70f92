"""What the flags in front of a command say, and the client made of them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atalaia.app.cli.keyring import stored_token

if TYPE_CHECKING:
    from atalaia.connectors.atalaia import Client

DEFAULT_URL = "http://127.0.0.1:8460"


class Output(StrEnum):
    """How answers are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"


OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="table for people, json as the API says, csv or ndjson to stream all."),
]


@dataclass
class Session:
    """One run of the command line.

    Attributes
    ----------
    transport
        Another way to the service than a socket (an httpx transport), for tests.
    body
        The API's last answer as it came.
    """

    url: str = DEFAULT_URL
    token: str | None = None
    timeout_s: float = 30.0
    debug: bool = False
    output: Output = Output.TABLE
    transport: Any = None
    body: bytes = b""

    def client(self) -> "Client":
        """Return a client of the service at `url`."""
        from atalaia.connectors.atalaia import Client

        return Client(
            self.url,
            timeout_s=self.timeout_s,
            token=self.token or stored_token(self.url),
            transport=self.transport,
            on_answer=self._keep,
        )

    def _keep(self, body: bytes) -> None:
        self.body = body


def session_of(ctx: typer.Context, output: Output = Output.TABLE) -> Session:
    """Return the session of this run, which from now on writes answers and errors as `output`."""
    session = ctx.ensure_object(Session)
    session.output = output
    return session


def examples(*lines: str) -> str:
    """Return the examples that end a help text, kept as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
