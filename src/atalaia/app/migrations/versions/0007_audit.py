"""The trail: events that are chained, and never changed. A job remembers who asked for it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_REFUSED = "events of the trail are never changed, and deleted by retention alone"
_MAY_GO = "OLD.sequence <= (SELECT pruned_to FROM audit_head WHERE id = 1)"
_SQLITE = (
    f"CREATE TRIGGER audit_events_kept BEFORE UPDATE ON audit_events BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END",
    f"""CREATE TRIGGER audit_events_stay BEFORE DELETE ON audit_events WHEN NOT ({_MAY_GO})
        BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END""",
)
_POSTGRESQL = (
    f"""CREATE FUNCTION audit_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' AND {_MAY_GO} THEN RETURN OLD; END IF;
            RAISE EXCEPTION '{_REFUSED}';
        END $$""",
    """CREATE TRIGGER audit_events_kept BEFORE UPDATE OR DELETE ON audit_events
        FOR EACH ROW EXECUTE FUNCTION audit_events_refuse()""",
    f"""CREATE FUNCTION audit_events_refuse_all() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$""",
    """CREATE TRIGGER audit_events_never_emptied BEFORE TRUNCATE ON audit_events
        FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse_all()""",
)


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    for name in ("at", "actor", "action", "subject"):
        op.create_index(f"ix_audit_events_{name}", "audit_events", [name], unique=False)
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("pruned_to", sa.BigInteger(), nullable=False),
        sa.Column("exported_to", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0, "hash": "0" * 64, "pruned_to": 0, "exported_to": 0}])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
    op.add_column("jobs", sa.Column("asked_by", sa.String(length=256), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "asked_by")
    op.drop_table("audit_head")
    op.drop_table("audit_events")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_events_refuse()")
        op.execute("DROP FUNCTION audit_events_refuse_all()")
