"""Every error of Atalaia, in one tree.

::

    AtalaiaError
    ├── Missing       it is not there                        404   exit 3
    ├── Conflict      it is there, and in the way            409   exit 4
    ├── Invalid       what was sent cannot be accepted       422   exit 2
    ├── Denied        not allowed                            403   exit 6
    ├── Unavailable   something that it needs is down        503   exit 5   retry
    ├── Busy          too much at once, or too soon          429   exit 7   retry
    ├── Stale         it changed while you were looking      412   exit 8   retry
    └── Broken        our own fault                          500   exit 1

An error carries a stable ``code`` (snake_case, documented), a sentence for people, and for bad input the places
that are wrong. The tables below are the only place where a kind becomes a status, an exit code, or a retry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What sort of thing went wrong."""

    MISSING = "missing"
    CONFLICT = "conflict"
    INVALID = "invalid"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    STALE = "stale"
    BROKEN = "broken"


HTTP_STATUS: dict[Kind, int] = {
    Kind.MISSING: 404,
    Kind.CONFLICT: 409,
    Kind.INVALID: 422,
    Kind.DENIED: 403,
    Kind.UNAVAILABLE: 503,
    Kind.BUSY: 429,
    Kind.STALE: 412,
    Kind.BROKEN: 500,
}
EXIT_CODE: dict[Kind, int] = {
    Kind.BROKEN: 1,
    Kind.INVALID: 2,
    Kind.MISSING: 3,
    Kind.CONFLICT: 4,
    Kind.UNAVAILABLE: 5,
    Kind.DENIED: 6,
    Kind.BUSY: 7,
    Kind.STALE: 8,
}
RETRIES: frozenset[Kind] = frozenset({Kind.UNAVAILABLE, Kind.BUSY, Kind.STALE})


@dataclass(frozen=True, slots=True)
class Fault:
    """One place in the input that is wrong.

    Attributes
    ----------
    pointer
        JSON pointer (RFC 6901) to the place, e.g. ``/points/17/value``.
    message
        What is wrong there, in plain words.
    """

    pointer: str
    message: str


class AtalaiaError(Exception):
    """The root of the tree.

    Parameters
    ----------
    code
        Stable name of the problem, e.g. ``unknown_series``.
    detail
        What happened and what to do next, for people.
    faults
        The places of the input that are wrong, if the input is.
    retry_after_s
        When to try again, in seconds, if trying again can help.
    """

    kind: ClassVar[Kind] = Kind.BROKEN

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.faults = tuple(faults)
        self.retry_after_s = retry_after_s

    @property
    def retries(self) -> bool:
        """Whether the same call may succeed later."""
        return self.kind in RETRIES


class Missing(AtalaiaError):
    """It is not there."""

    kind = Kind.MISSING


class Conflict(AtalaiaError):
    """It is there, and in the way."""

    kind = Kind.CONFLICT


class Invalid(AtalaiaError):
    """What was sent cannot be accepted."""

    kind = Kind.INVALID


class Denied(AtalaiaError):
    """Not allowed."""

    kind = Kind.DENIED


class Unavailable(AtalaiaError):
    """Something that it needs is down."""

    kind = Kind.UNAVAILABLE


class Busy(AtalaiaError):
    """Too much at once, or too soon."""

    kind = Kind.BUSY


class Stale(AtalaiaError):
    """It changed while you were looking."""

    kind = Kind.STALE


class Broken(AtalaiaError):
    """Our own fault."""

    kind = Kind.BROKEN


ERROR_OF_KIND: dict[Kind, type[AtalaiaError]] = {
    error.kind: error for error in (Missing, Conflict, Invalid, Denied, Unavailable, Busy, Stale, Broken)
}
