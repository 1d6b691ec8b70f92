"""How a command that fails says so: plainly, with what to do next, on stderr."""

import json
import os
import sys

from atalaia.app.cli.output import note, readable
from atalaia.app.cli.session import Output
from atalaia.core.errors import EXIT_CODE, HTTP_STATUS, AtalaiaError, Kind

BROKEN_PIPE_EXIT = 141  # what a shell reports of a program that SIGPIPE ended
_NEXT = {
    Kind.MISSING: "List what there is with `atalaia series list`, `models list` or `jobs list`.",
    Kind.BROKEN: "The log of the service says more; `atalaia doctor` checks the installation.",
}
_LOG_IN = frozenset({"unauthenticated", "invalid_token", "token_expired"})
_SHOWN_FAULTS = 20


def report(error: AtalaiaError, output: Output) -> int:
    """Say what went wrong and return the exit code."""
    note(json.dumps(_problem(error), ensure_ascii=False) if output is Output.JSON else _told(error))
    return EXIT_CODE[error.kind]


def _told(error: AtalaiaError) -> str:
    lines = [f"error: {readable(error.detail)} [{error.code}]"]
    lines += [f"  {readable(f.pointer)}: {readable(f.message)}" for f in error.faults[:_SHOWN_FAULTS] if f.pointer]
    if len(error.faults) > _SHOWN_FAULTS:
        lines.append(f"  and {len(error.faults) - _SHOWN_FAULTS} more")
    if error.retry_after_s is not None:
        lines.append(f"Try again in {error.retry_after_s:.0f} s.")
    if error.code in _LOG_IN:
        lines.append("Log in with `atalaia login NAME`, or give a token with --token or ATALAIA_TOKEN.")
    if error.kind in _NEXT:
        lines.append(_NEXT[error.kind])
    return "\n".join(lines)


def _problem(error: AtalaiaError) -> dict[str, object]:
    return {
        "type": "about:blank",
        "title": error.kind.value,
        "status": HTTP_STATUS[error.kind],
        "detail": error.detail,
        "code": error.code,
        "kind": error.kind.value,
        "retry_after_s": error.retry_after_s,
        "errors": [{"pointer": f.pointer, "message": f.message} for f in error.faults],
    }


def hush_stdout() -> None:
    """Send what is still buffered nowhere, after the reader of our output has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
