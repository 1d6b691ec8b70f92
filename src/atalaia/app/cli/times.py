"""Times as people write and read them: in the zone of this machine, with its name."""

from datetime import datetime

from atalaia.core.clock import from_us, seconds_to_us, to_us
from atalaia.core.errors import Fault, Invalid


def parse_time(text: str, option: str) -> datetime:
    """Return the time that `text` writes: RFC 3339, Unix seconds, or local time without a zone.

    Raises
    ------
    Invalid
        When it is none of these; `option` is named.
    """
    try:
        return from_us(seconds_to_us(float(text)))
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text.strip()).astimezone()  # without a zone: the machine's
    except (ValueError, OverflowError) as error:
        raise Invalid(
            "invalid_time",
            f"{option}: {text!r} is not a time; write 2014-04-10T07:15:00Z, '2014-04-10 07:15' (local time) "
            "or Unix seconds",
            faults=[Fault(f"/{option.lstrip('-')}", "not a time")],
        ) from error


def optional_time(text: str | None, option: str) -> datetime | None:
    """Return `parse_time`, None for None."""
    return None if text is None else parse_time(text, option)


def optional_us(text: str | None, option: str) -> int | None:
    """Return microseconds since the epoch, None for None."""
    return None if text is None else to_us(parse_time(text, option))


def local(text: str) -> str:
    """Return an RFC 3339 time of the API in the zone of this machine, e.g. ``2014-04-10 09:15:00 CEST``."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
