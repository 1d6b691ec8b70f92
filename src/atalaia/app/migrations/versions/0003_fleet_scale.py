"""Fleet scale: statistics in pages instead of rows, one follower, challengers, waves of trainings."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _statistics() -> list[sa.Column[Any]]:
    return [
        sa.Column("received", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("first_ts", sa.BigInteger(), nullable=True),
        sa.Column("last_ts", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("mean", sa.Float(), nullable=False, server_default="0"),
        sa.Column("m2", sa.Float(), nullable=False, server_default="0"),
        sa.Column("last_value", sa.Float(), nullable=True),
        sa.Column("step_us", sa.Float(), nullable=True),
    ]


def upgrade() -> None:
    # The follower learns the statistics anew: from the blocks, then from the tail, as round 1.
    for column in _statistics():
        op.drop_column("series", column.name)
    op.add_column("tail", sa.Column("round", sa.BigInteger(), nullable=True))
    op.create_table(
        "tail_points",
        sa.Column(
            "tail_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False
        ),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tail_id"], ["tail.id"]),
        sa.PrimaryKeyConstraint("tail_id"),
    )
    op.execute("INSERT INTO tail_points (tail_id, points) SELECT id, points FROM tail")
    op.drop_column("tail", "points")
    op.execute("UPDATE tail SET round = 1 WHERE scored")
    op.add_column("models", sa.Column("challenger", sa.Integer(), nullable=True))
    with op.batch_alter_table("asked") as batch_op:
        batch_op.drop_index("ix_asked_hour")
    op.drop_table("asked")
    op.create_table(
        "scored_hours",
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("page", "hour"),
    )
    with op.batch_alter_table("scored_hours") as batch_op:
        batch_op.create_index("ix_scored_hours_hour", ["hour"], unique=False)
    _create_follower()
    _create_waves()


def _create_follower() -> None:
    op.create_table(
        "follower",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "follower_parts",
        sa.Column("name", sa.String(length=400), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.execute("INSERT INTO follower (id, owner, until, round, stored) VALUES (1, '', 0, 1, 0)")


def _create_waves() -> None:
    op.create_table(
        "training_waves",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("promote", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("promoted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "training_wave_fleets",
        sa.Column("wave_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("series", sa.Integer(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["wave_id"], ["training_waves.id"]),
        sa.PrimaryKeyConstraint("wave_id", "key"),
    )
    with op.batch_alter_table("training_wave_fleets") as batch_op:
        batch_op.create_index("ix_training_wave_fleets_job_id", ["job_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("training_wave_fleets") as batch_op:
        batch_op.drop_index("ix_training_wave_fleets_job_id")
    op.drop_table("training_wave_fleets")
    op.drop_table("training_waves")
    op.drop_table("follower_parts")
    op.drop_table("follower")
    with op.batch_alter_table("scored_hours") as batch_op:
        batch_op.drop_index("ix_scored_hours_hour")
    op.drop_table("scored_hours")
    op.create_table(
        "asked",
        sa.Column("series_id", sa.String(length=256), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("scored", sa.Integer(), nullable=False),
        sa.Column("anomalous", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "hour"),
    )
    with op.batch_alter_table("asked") as batch_op:
        batch_op.create_index("ix_asked_hour", ["hour"], unique=False)
    op.drop_column("models", "challenger")
    op.add_column("tail", sa.Column("points", sa.LargeBinary(), nullable=False, server_default=""))
    op.execute("UPDATE tail SET points = (SELECT points FROM tail_points WHERE tail_id = tail.id)")
    op.drop_table("tail_points")
    op.drop_column("tail", "round")
    for column in _statistics():
        op.add_column("series", column)
