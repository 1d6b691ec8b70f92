"""Tables of the follower: who scores, up to which round its memory is stored, and where."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import BigInteger, Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.errors import Stale
from atalaia.kit.database import Table, upsert


class FollowerRow(Table):
    """The one process that scores; others wait until it is gone.

    `round` counts the rounds of scoring, `stored` is the last one that the stored memory covers.
    """

    __tablename__ = "follower"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    owner: Mapped[str] = mapped_column(String(128))
    until: Mapped[int] = mapped_column(BigInteger)
    round: Mapped[int] = mapped_column(BigInteger)
    stored: Mapped[int] = mapped_column(BigInteger)


class PartRow(Table):
    """One stored piece of the follower's memory, by name."""

    __tablename__ = "follower_parts"

    name: Mapped[str] = mapped_column(String(400), primary_key=True)
    key: Mapped[str] = mapped_column(String(128))
    sha256: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True, slots=True)
class Part:
    """Where a piece of memory is stored."""

    key: str
    sha256: str


def follower(session: Session) -> FollowerRow | None:
    """Return who scores, None when nobody ever did; it is held until the transaction ends."""
    query = select(FollowerRow).where(FollowerRow.id == 1).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def who_follows(session: Session) -> FollowerRow | None:
    """Return who scores, None when nobody ever did, without holding it."""
    return session.get(FollowerRow, 1)


def own(session: Session, owner: str) -> FollowerRow:
    """Return the row of the follower if it is `owner`.

    Raises
    ------
    Stale
        When another process has taken over.
    """
    row = follower(session)
    if row is None or row.owner != owner:
        raise Stale("lease_lost", "another process scores now")
    return row


def unseat(session: Session) -> None:
    """Let whoever follows begin anew, from what is stored; a round that is being scored will not commit."""
    row = follower(session)
    if row is not None:
        row.owner, row.until = "", 0


def parts(session: Session, beginning: str = "") -> dict[str, Part]:
    """Return the stored pieces whose names have this beginning, by name."""
    query = select(PartRow.name, PartRow.key, PartRow.sha256)
    if beginning:
        query = query.where(PartRow.name.startswith(beginning, autoescape=True))
    return {name: Part(key, sha256) for name, key, sha256 in session.execute(query).tuples()}


def save_parts(session: Session, saved: Mapping[str, Part], gone: Iterable[str]) -> None:
    """Set stored pieces, and forget others."""
    rows = [{"name": name, "key": part.key, "sha256": part.sha256} for name, part in saved.items()]
    upsert(session, PartRow, sorted(rows, key=lambda row: row["name"]), ("name",))
    for name in gone:
        row = session.get(PartRow, name)
        if row is not None:
            session.delete(row)


def last_round(session: Session) -> int:
    """Return the last round of scoring; 0 for none."""
    return session.scalar(select(FollowerRow.round).where(FollowerRow.id == 1)) or 0


def stored_round(session: Session) -> int:
    """Return the last round of scoring that the stored memory covers; 0 for none."""
    return session.scalar(select(FollowerRow.stored).where(FollowerRow.id == 1)) or 0
