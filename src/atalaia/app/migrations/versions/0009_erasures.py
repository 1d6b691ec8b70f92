"""Erasures on request: which were asked for, how far they are, their certificates; and series that are blank."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("subject_kind", sa.String(length=16), nullable=False),
        sa.Column("subject_hash", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.LargeBinary(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("asked_by", sa.String(length=256), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("certificate", sa.Text(), nullable=True),
        sa.Column("signature", sa.String(length=128), nullable=True),
        sa.Column("signed_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_erasures_subject_hash", "erasures", ["subject_hash"], unique=False)
    op.add_column("series", sa.Column("erased", sa.BigInteger(), nullable=True))
    blank = sa.text("erased IS NOT NULL")
    op.create_index("series_erased", "series", ["erased"], unique=False, sqlite_where=blank, postgresql_where=blank)


def downgrade() -> None:
    op.drop_index("series_erased", "series")
    op.drop_column("series", "erased")
    op.drop_table("erasures")
