"""What was asked of each series, by the hour: for warm loading, and for how a model does."""

from collections.abc import Mapping

from sqlalchemy import BigInteger, Integer, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.kit.database import Table, upsert

HOUR_US = 3_600_000_000
Asked = Mapping[tuple[str, int], tuple[int, int]]


class AskedRow(Table):
    """Points of a series that were scored in one hour, and how many of them were anomalous."""

    __tablename__ = "asked"

    series_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, index=True)
    scored: Mapped[int] = mapped_column(Integer)
    anomalous: Mapped[int] = mapped_column(Integer)


def add_counts(session: Session, asked: Asked) -> None:
    """Add (scored, anomalous) to the counts of each (series, hour)."""
    rows: list[dict[str, str | int]] = []
    for (series_id, hour), (scored, anomalous) in asked.items():
        known = session.get(AskedRow, (series_id, hour))
        before = (known.scored, known.anomalous) if known else (0, 0)
        counts = {"scored": before[0] + scored, "anomalous": before[1] + anomalous}
        rows.append({"series_id": series_id, "hour": hour, **counts})
    upsert(session, AskedRow, rows, ("series_id", "hour"))


def counts_since(session: Session, series_id: str, since_us: int) -> tuple[int, int]:
    """Return how many points of a series were scored in the hours since then, and how many were anomalous."""
    sums = select(func.sum(AskedRow.scored), func.sum(AskedRow.anomalous))
    since = (AskedRow.series_id == series_id, AskedRow.hour > since_us - HOUR_US)
    scored, anomalous = session.execute(sums.where(*since)).tuples().one()
    return int(scored or 0), int(anomalous or 0)


def most_asked(session: Session, count: int) -> list[str]:
    """Return the series that were asked for most, most first."""
    total = func.sum(AskedRow.scored)
    query = select(AskedRow.series_id).group_by(AskedRow.series_id).order_by(total.desc(), AskedRow.series_id)
    return list(session.scalars(query.limit(count)))


def forget_counts(session: Session, older_than_us: int) -> None:
    """Delete the counts of hours before the given moment."""
    session.execute(delete(AskedRow).where(AskedRow.hour < older_than_us))
