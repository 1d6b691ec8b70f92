"""Leases: what one process alone does at a time. On PostgreSQL, ids in the order of their bytes, as on SQLite."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_PAGED = (
    ("series", "series_id", 256),
    ("fleets", "fleet_id", 256),
    ("models", "key", 300),
    ("training_wave_fleets", "key", 300),
)
"""Columns whose order people and pages see; the order of a language differs from machine to machine."""


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table, column, length in _PAGED:
            op.alter_column(table, column, type_=sa.String(length, collation="C"))


def downgrade() -> None:
    op.drop_table("leases")
    if op.get_bind().dialect.name == "postgresql":
        for table, column, length in _PAGED:
            op.alter_column(table, column, type_=sa.String(length, collation="default"))
