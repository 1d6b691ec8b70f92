"""Types that stand on the wire in many places: ids in paths, times, columns, pages, raw bodies."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar, get_origin
from urllib.parse import unquote

import msgspec
import numpy as np
from fastapi import Depends, Header, Query, Request
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from starlette.convertors import Convertor, register_url_convertor

from atalaia.core.clock import MICROS, isoformat, seconds_to_us, to_us
from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import IntArray

MAX_SECONDS = 4_102_444_800.0
"""2100-01-01, the end of times that are taken for seconds."""


class IdConvertor(Convertor[str]):
    """One path segment that may hold an encoded slash, see `kit.web.middleware.Front`."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """Return the id that the segment writes."""
        return unquote(value)

    def to_string(self, value: str) -> str:
        """Return the segment that writes the id."""
        return value.replace("%", "%25").replace("/", "%2F")


class IdsConvertor(IdConvertor):
    """The same for callers that write a slash as it is: one segment or several."""

    regex = r"[\s\S]+"


register_url_convertor("id", IdConvertor())
register_url_convertor("ids", IdsConvertor())


class Wire(BaseModel):
    """The root of wire types: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


async def refuse_repeats(request: Request) -> None:
    """Refuse a query that gives a parameter twice: whoever stands before us may have looked at the other one.

    Parameters that are lists may come as often as they like.
    """
    counts = Counter(name for name, _ in request.query_params.multi_items())
    twice = [name for name, count in counts.items() if count > 1]
    asked = request.scope["route"].dependant.query_params if twice else ()
    lists = {one.alias for one in asked if get_origin(one.field_info.annotation) is list}
    faults = [Fault(f"/{name}", "expected once") for name in twice if name not in lists]
    if faults:
        detail = "; ".join(f"{fault.pointer}: {fault.message}" for fault in faults[:3])
        raise Invalid("invalid_request", detail, faults=faults[:20])


async def _read_body(request: Request) -> bytes:
    return await request.body()


RawBody = Annotated[bytes, Depends(_read_body)]
"""The whole body as bytes, read without blocking a thread."""
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=256, description="Send the same key again and it is done once."),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]
Time = Annotated[str | None, Query(max_length=64, description="Unix seconds or RFC 3339.")]
From = Annotated[str | None, Query(alias="from", max_length=64, description="Unix seconds or RFC 3339.")]
Cursor = Annotated[str | None, Query(max_length=2048, description="`next` of the page before.")]

T = TypeVar("T")
Body = bytes | memoryview
_MAX_FAULTS = 20
_COMMAS = 8
"""A point of a request has three commas; more may stand inside its texts."""


def check_crowd(body: Body, most: int) -> None:
    """Refuse JSON that would become many more objects than `most` points have, before it does.

    Raises
    ------
    Invalid
        ``invalid_points``.
    """
    if bytes(body).count(b",") > _COMMAS * (most + 1):
        detail = f"it holds far more than the {most} points that one request may have"
        raise Invalid("invalid_points", detail, faults=[Fault("", detail)])


def decode(body: Body, decoder: "msgspec.json.Decoder[T]") -> T:
    """Return `body` decoded.

    Raises
    ------
    Invalid
        When it is not JSON, or not of the decoder's type; the fault says where.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        pointer = where.rstrip("`").replace("[...]", "/*").replace("[", "/").replace("]", "").replace(".", "/")
        raise Invalid(
            "invalid_request", f"{pointer or 'body'}: {message}", faults=[Fault(pointer, message)]
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = "the body is empty" if not bytes(body).strip() else f"the body is not JSON: {error}"
        raise Invalid("invalid_json", detail, faults=[Fault("", detail)]) from error


def parse_time(value: float | str, pointer: str) -> int:
    """Return Unix seconds or an RFC 3339 time as microseconds since the epoch.

    Raises
    ------
    Invalid
        When it is neither, carries no zone, or cannot be in seconds.
    """
    if isinstance(value, str):
        return _parse_text(value, pointer)
    if 0 <= value <= MAX_SECONDS and value == (whole := int(value)):  # as nearly all are
        return whole * MICROS
    reason = why_not_seconds(value)
    if reason:
        raise _invalid_time(pointer, reason)
    return seconds_to_us(value)


def parse_times(values: Sequence[float | str], pointer: str) -> IntArray:
    """Return a column of times as int64[n] microseconds; the ``{}`` of `pointer` stands for the position.

    Raises
    ------
    Invalid
        As `parse_time` does.
    """
    if not all(isinstance(value, float) for value in values):
        return np.array([parse_time(value, pointer.format(i)) for i, value in enumerate(values)], np.int64)
    seconds = np.array(values, np.float64)
    bad = ~((seconds >= 0) & (seconds <= MAX_SECONDS))
    refuse_places("invalid_time", bad, pointer, lambda i: why_not_seconds(float(seconds[i])) or "not a time")
    whole = np.floor(seconds)
    return whole.astype(np.int64) * MICROS + np.rint((seconds - whole) * MICROS).astype(np.int64)


def refuse_places(
    code: str, bad: NDArray[np.bool_], pointer: str, why: Callable[[int], str], *, so: str = ""
) -> None:
    """Refuse a column in which some places are `bad`; the ``{}`` of `pointer` stands for the position.

    Raises
    ------
    Invalid
        With `code`, what `why` says of the first twenty of these places, and `so` behind it.
    """
    places: list[int] = np.flatnonzero(bad).tolist()
    if places:
        faults = [Fault(pointer.format(place), why(place)) for place in places[:_MAX_FAULTS]]
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        raise Invalid(code, f"{faults[0].pointer}: {faults[0].message}{more}{so}", faults=faults)


def why_not_seconds(value: float) -> str | None:
    """Return why `value` cannot be Unix seconds, or None if it can."""
    if value != value or value in (float("inf"), float("-inf")):
        return "it is not a finite number"
    if value < 0:
        return "it lies before 1970"
    if value > MAX_SECONDS:
        return "it lies after 2100: seconds are expected, this looks like milliseconds or finer"
    return None


def time_query(value: str | None, name: str) -> int | None:
    """Return a time given in the query, in seconds or RFC 3339, as microseconds."""
    if value is None:
        return None
    try:
        return parse_time(float(value), f"/{name}")
    except ValueError:
        return parse_time(value.replace(" ", "+"), f"/{name}")  # an unencoded + arrives as a space


def optional_time(micros: int | None) -> str | None:
    """Return microseconds as RFC 3339, None as None."""
    return None if micros is None else isoformat(micros)


def rfc3339(moment: datetime | None) -> str | None:
    """Return an aware datetime as RFC 3339 in UTC, None as None."""
    return None if moment is None else isoformat(to_us(moment))


def page(items: list[Any], following: str | None) -> Mapping[str, Any]:
    """Return a page of a list."""
    return {"items": items, "next": following}


def _parse_text(value: str, pointer: str) -> int:
    try:
        moment = datetime.fromisoformat(value.upper())  # RFC 3339 allows t and z
    except ValueError:
        raise _invalid_time(pointer, f"{value[:40]!r} is neither Unix seconds nor RFC 3339") from None
    if moment.tzinfo is None:
        raise _invalid_time(pointer, f"{value[:40]!r} has no time zone; end it with Z for UTC")
    micros = to_us(moment)
    if not 0 <= micros <= MAX_SECONDS * MICROS:
        raise _invalid_time(pointer, f"{value[:40]!r} lies before 1970 or after 2100")
    return micros


def _invalid_time(pointer: str, reason: str) -> Invalid:
    return Invalid("invalid_time", f"{pointer}: {reason}", faults=[Fault(pointer, reason)])
