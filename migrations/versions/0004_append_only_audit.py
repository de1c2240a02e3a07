"""Audit events that nobody changes, and that are found by what happened, by whom and from where.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Name, columns, and which rows.
_INDEXES = (
    ("event_at", ["event", "at"], None),
    ("source_at", ["source", "at"], None),
    ("actor_id_at", ["actor_id", "at"], "actor_id IS NOT NULL"),
    ("refused", ["at"], "outcome != 'ok'"),
)
_CHANGED = "audit events are never changed"
_TOO_YOUNG = "audit events of the last twelve hours are not removed"
# A migration that makes the table anew on SQLite (`batch_alter_table` with `recreate`) has to make these anew too.
_SQLITE = (
    f"""
    CREATE TRIGGER audit_events_never_change BEFORE UPDATE ON audit_events
    BEGIN SELECT RAISE(ABORT, '{_CHANGED}'); END
    """,
    f"""
    CREATE TRIGGER audit_events_stay BEFORE DELETE ON audit_events WHEN OLD.at > datetime('now', '-12 hours')
    BEGIN SELECT RAISE(ABORT, '{_TOO_YOUNG}'); END
    """,
    # REPLACE removes a row without asking the trigger above.
    """
    CREATE TRIGGER audit_events_never_replaced BEFORE INSERT ON audit_events
    WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'audit events are never replaced'); END
    """,
)
_POSTGRESQL = (
    f"""
    CREATE FUNCTION keep_audit_events() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP != 'DELETE' THEN
        RAISE EXCEPTION '{_CHANGED}' USING ERRCODE = 'restrict_violation';
      ELSIF OLD.at > now() - interval '12 hours' THEN
        RAISE EXCEPTION '{_TOO_YOUNG}' USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN OLD;
    END $$
    """,
    """
    CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION keep_audit_events()
    """,
    """
    CREATE TRIGGER audit_events_never_emptied BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_events()
    """,
)


def upgrade() -> None:
    for name, columns, which in _INDEXES:
        where = sa.text(which) if which else None
        op.create_index(
            f"ix_audit_events_{name}",
            "audit_events",
            columns,
            postgresql_where=where,
            sqlite_where=where,
        )
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_events_never_replaced")
        op.execute("DROP TRIGGER audit_events_stay")
        op.execute("DROP TRIGGER audit_events_never_change")
    else:
        op.execute("DROP TRIGGER audit_events_never_emptied ON audit_events")
        op.execute("DROP TRIGGER audit_events_stay ON audit_events")
        op.execute("DROP FUNCTION keep_audit_events()")
    for name, *_ in reversed(_INDEXES):
        op.drop_index(f"ix_audit_events_{name}", "audit_events")
