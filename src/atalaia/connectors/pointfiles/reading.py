"""How a file of points is laid out, and what is said when it is not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from atalaia.core.errors import Fault, Invalid


class Shape(StrEnum):
    """Where the name of the series stands."""

    AUTO = "auto"
    LONG = "long"
    WIDE = "wide"
    SINGLE = "single"


class Unit(StrEnum):
    """What numeric timestamps count since the epoch."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a file.

    Attributes
    ----------
    shape
        ``long`` has a column with the name of the series, ``wide`` one column for each series, ``single`` is one
        series; ``auto`` decides by the names of the columns.
    series
        Name of the only series; by default that of the file, without its ending.
    prefix
        Put before every name that comes from the file.
    zone
        Where the clock hung that wrote times without a zone.
    batch
        Points in a batch at most.
    from_us, to_us
        Only points in ``[from_us, to_us)``, microseconds since the epoch.
    """

    shape: Shape = Shape.AUTO
    series: str | None = None
    prefix: str = ""
    timestamp_column: str = "timestamp"
    value_column: str = "value"
    series_column: str = "series_id"
    unit: Unit = Unit.S
    zone: str = "UTC"
    batch: int = 10_000
    from_us: int | None = None
    to_us: int | None = None

    def tzinfo(self) -> ZoneInfo:
        """Return the zone.

        Raises
        ------
        Invalid
            When there is none of that name.
        """
        try:
            return ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise Invalid(
                "unknown_zone", f"{self.zone!r} is not a time zone; write one like UTC or Europe/Lisbon"
            ) from error


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file we are, for messages. `word` is ``row`` or ``line``."""

    path: Path
    word: str = "row"

    def invalid(self, reason: str, row: int | None = None, column: str | None = None) -> Invalid:
        """Return the error that names the file, the row and the reason."""
        where = str(self.path) if row is None else f"{self.path}, {self.word} {row}"
        said = reason if column is None else f"{reason} (column {column!r})"
        pointer = "" if row is None else f"/{row}" + ("" if column is None else f"/{column}")
        return Invalid("invalid_file", f"{where}: {said}", faults=[Fault(pointer, reason)])


@dataclass(frozen=True, slots=True)
class Roles:
    """Which columns play which part. `values` has one name unless the shape is wide."""

    shape: Shape
    timestamp: str
    values: tuple[str, ...]
    series: str | None

    @property
    def columns(self) -> list[str]:
        """All columns that are needed."""
        return [self.timestamp, *self.values] + ([self.series] if self.series is not None else [])


def roles_of(names: Sequence[str], reading: Reading, place: Place) -> Roles:
    """Return who plays which part among the columns `names`.

    Raises
    ------
    Invalid
        When a column is missing or stands there twice.
    """
    if reading.timestamp_column not in names:
        raise _missing(reading.timestamp_column, "timestamp", names, place)
    shape = reading.shape if reading.shape is not Shape.AUTO else _shape(names, reading)
    roles = _roles(shape, names, reading)
    for name, option in zip(roles.columns, _options(roles), strict=True):
        if name not in names:
            raise _missing(name, option, names, place)
        if names.count(name) > 1:
            raise place.invalid(f"column {name!r} stands there twice")
    if not roles.values:
        raise place.invalid("there is no column beside the timestamps")
    return roles


def _shape(names: Sequence[str], reading: Reading) -> Shape:
    if reading.series_column in names and reading.series is None:
        return Shape.LONG
    return Shape.SINGLE if reading.value_column in names or reading.series is not None else Shape.WIDE


def _roles(shape: Shape, names: Sequence[str], reading: Reading) -> Roles:
    if shape is Shape.WIDE:
        values = tuple(name for name in names if name != reading.timestamp_column)
        return Roles(shape, reading.timestamp_column, values, None)
    series = reading.series_column if shape is Shape.LONG else None
    return Roles(shape, reading.timestamp_column, (reading.value_column,), series)


def _options(roles: Roles) -> list[str]:
    return ["timestamp", *("value" for _ in roles.values)] + ([] if roles.series is None else ["series"])


def _missing(name: str, option: str, names: Sequence[str], place: Place) -> Invalid:
    found = ", ".join(repr(n[:40]) for n in names[:10]) or "none"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return place.invalid(
        f"there is no column {name!r}; found {found}{more}. "
        f"Say which it is with --{option}-column; the first row must name the columns"
    )


def settled(reading: Reading, roles: Roles) -> Reading:
    """Return `reading` with the shape that was found, so that later parts of a file are read alike."""
    return replace(reading, shape=roles.shape)
