"""Which sensors of an asset were off when an anomaly was at its peak."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("anomalies", sa.Column("relations", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("anomalies", "relations")
