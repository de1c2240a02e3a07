"""Runs migrations on SQLite and on PostgreSQL, one process at a time."""

import asyncio
import warnings

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

import app.accounts.tables
import app.audit
import app.authorization_server.tables
import app.tallies  # noqa: F401 - each import adds its tables to the metadata
from app.database import metadata
from app.migrations import LEAVE_LATER, is_later
from app.settings import load_settings

# Any constant number: replicas that start together wait for each other under it.
_LOCK = 7_105_319


def _migrate(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_lock(_LOCK)))
        # Who waits for a table holds up everyone behind him: rather fail, and be started again.
        connection.execute(sa.text("SET lock_timeout = '10s'"))
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        compare_type=True,
        transaction_per_migration=True,
    )
    revisions = context.get_context().get_current_heads()
    if context.config.attributes.get(LEAVE_LATER) and any(map(is_later, revisions)):
        return
    with context.begin_transaction(), warnings.catch_warnings():
        # `alembic check` can't read on SQLite what an index on an expression is about; on PostgreSQL it can.
        warnings.filterwarnings("ignore", ".*expression-based index")
        context.run_migrations()


async def _run(url: str) -> None:
    engine = create_async_engine(url, poolclass=sa.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


asyncio.run(_run(context.config.get_main_option("sqlalchemy.url") or load_settings().database_url))
