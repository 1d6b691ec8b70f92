"""An HTTP answer that is not a success, as the error of `core.errors` that it stands for."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from atalaia.core.clock import utc_now
from atalaia.core.errors import ERROR_OF_KIND, HTTP_STATUS, AtalaiaError, Broken, Fault, Kind, Unavailable

_KIND_OF_STATUS = {status: kind for kind, status in HTTP_STATUS.items()} | {
    400: Kind.INVALID,
    401: Kind.DENIED,
    408: Kind.UNAVAILABLE,
    413: Kind.INVALID,
    415: Kind.INVALID,
    502: Kind.UNAVAILABLE,
    504: Kind.UNAVAILABLE,
}


class _Place(msgspec.Struct):
    pointer: str = ""
    message: str = ""


class _Problem(msgspec.Struct):
    """RFC 9457, with our members."""

    title: str = ""
    detail: str = ""
    code: str = ""
    kind: str = ""
    errors: list[_Place] = msgspec.field(default_factory=list[_Place])


def error_of(status: int, body: bytes, retry_after: str | None = None) -> AtalaiaError:
    """Return the error that an answer stands for.

    Parameters
    ----------
    status
        The HTTP status, 300 or more.
    body
        Its body; problem+json from Atalaia, anything from whatever else listens there.
    retry_after
        The header of that name, in seconds or as an HTTP date.
    """
    retry_after_s = retry_after_seconds(retry_after)
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:  # not JSON, or JSON of someone else
        return _not_ours(status, retry_after_s)
    kind = _kind(problem.kind, status)
    return ERROR_OF_KIND[kind](
        problem.code or f"http_{status}",
        problem.detail or problem.title or f"the service answered with status {status}",
        faults=[Fault(place.pointer, place.message) for place in problem.errors],
        retry_after_s=retry_after_s,
    )


def _kind(name: str, status: int) -> Kind:
    try:
        return Kind(name)
    except ValueError:
        return _KIND_OF_STATUS.get(status, Kind.BROKEN)


def _not_ours(status: int, retry_after_s: float | None) -> AtalaiaError:
    if status in (502, 503, 504):
        return Unavailable(
            "bad_gateway",
            f"something in front of the service answered with status {status}; the service may be starting",
            retry_after_s=retry_after_s,
        )
    return bad_answer(f"the answer (status {status}) is not a problem object")


def bad_answer(reason: str) -> Broken:
    """Return the error for an answer that Atalaia does not give."""
    return Broken("bad_answer", f"{reason}; is it Atalaia that listens at this address, of this version?")


def retry_after_seconds(header: str | None) -> float | None:
    """Return what a Retry-After header says in seconds, None when it is absent or unreadable."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    aware: datetime = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - utc_now()).total_seconds())
