"""History in lanes: blocks of 4,096 series each beside blocks of all series."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Blocks of before hold all series: that is bucket 0 while there are no more than it holds, else no bucket.
_COPY = """
INSERT INTO blocks (
    key, sequence, first_ts, last_ts, rows, size_bytes, sha256, created_at, bucket, first_series, last_series
)
SELECT key, sequence, first_ts, last_ts, rows, size_bytes, sha256, created_at, :bucket, 0, :last
FROM blocks_before
"""
_COPY_BACK = """
INSERT INTO blocks (key, sequence, first_ts, last_ts, rows, size_bytes, sha256, created_at)
SELECT key, sequence, first_ts, last_ts, rows, size_bytes, sha256, created_at FROM blocks_before
"""


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("first_ts", sa.BigInteger(), nullable=False),
        sa.Column("last_ts", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    ]


def upgrade() -> None:
    most = op.get_bind().scalar(sa.text("SELECT max(number) FROM series")) or 0
    op.rename_table("blocks", "blocks_before")
    op.create_table(
        "blocks",
        *_columns(),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("first_series", sa.Integer(), nullable=False),
        sa.Column("last_series", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("bucket", "sequence"),
    )
    lane = {"bucket": 0, "last": 4_095} if most < 4_096 else {"bucket": -1, "last": 2**31 - 1}
    op.get_bind().execute(sa.text(_COPY), lane)
    op.drop_table("blocks_before")


def downgrade() -> None:
    op.rename_table("blocks", "blocks_before")
    op.create_table("blocks", *_columns(), sa.PrimaryKeyConstraint("key"), sa.UniqueConstraint("sequence"))
    op.execute(_COPY_BACK)  # fails where blocks were divided: a release of before cannot read them
    op.drop_table("blocks_before")
