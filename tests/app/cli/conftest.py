"""A service that answers as the API does, and the command line in front of it."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from atalaia.app.cli import app
from atalaia.app.cli.session import Session

Answer = dict[str, Any] | httpx.Response


class Service:
    """Answers by method and raw path (without query) from a table; remembers what it was asked.

    A seam until the server can be started in tests: the answers are those of the API's contract.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.raw_path.decode().split("?")[0]
        answer = self.answers.get(f"{request.method} {path.removeprefix('/api/v1')}")
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if answer is None:
            return self.problem("missing", 404, code="unknown_path", detail=f"nothing at {request.method} {path}")
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return httpx.Response(200, json=answer)

    @staticmethod
    def problem(kind: str, status: int, **members: Any) -> httpx.Response:
        """Return an error as the service answers it."""
        return httpx.Response(status, json={"kind": kind, "code": "a_code", "detail": "What to do.", **members})

    def run(self, *args: str, text: str | None = None) -> Any:
        """Run `atalaia` with `args`; `text` is typed in."""
        session = Session(transport=httpx.MockTransport(self))
        return CliRunner().invoke(app, list(args), obj=session, input=text)

    def sent(self, method: str) -> list[Any]:
        """Return the JSON bodies that were sent with `method`."""
        return [json.loads(r.content) for r in self.requests if r.method == method and r.content]


@pytest.fixture
def service() -> Service:
    return Service()
