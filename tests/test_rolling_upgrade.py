"""Old and new processes side by side on one schema: migrations add, and each release serves the next one's schema."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from app.migrations import alembic_config
from tests.command_line import command_line
from tests.support.process import running_server
from tests.support.world import SECRET_KEY, World
from tests.test_storage_schema import run

LATER = "9999_of_a_later_release"
# The one before was never released, so that no code that reads what 0002 took away serves beside it.
FIRST = "0002"

Columns = Mapping[tuple[str, str], Mapping[str, Any]]


async def make_later(world: World) -> None:
    """Let the database be one that a later release migrated."""
    async with world.database.transaction() as tx:
        await tx.execute(sa.text("UPDATE alembic_version SET version_num = :later"), {"later": LATER})


async def test_a_process_is_ready_on_the_schema_of_a_later_release(world: World) -> None:
    await make_later(world)
    answer = await world.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert (await world.tokens(await world.register()))["access_token"]


async def test_a_process_is_not_ready_on_the_schema_of_an_earlier_release(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    answer = await world.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "migrations pending")


async def test_the_operators_page_tells_of_a_later_schema(world: World) -> None:
    await world.create_user("carol", is_admin=True)
    await make_later(world)
    admin = await world.signed_in_browser("carol")
    page = (await admin.get("/admin")).text
    assert f"{LATER}, of a later version" in page
    assert "run ostiary migrate" not in page


async def test_migrating_leaves_the_schema_of_a_later_release_alone(world: World, tmp_path: Path) -> None:
    await make_later(world)
    answer = await command_line(world.settings.database_url, tmp_path)("migrate")
    assert answer.code == 0, answer.error
    assert (await world.rows("SELECT version_num FROM alembic_version"))[0]["version_num"] == LATER


async def test_a_process_starts_on_the_schema_of_a_later_release(world: World, tmp_path: Path) -> None:
    await make_later(world)
    settings = {"DATABASE_URL": world.settings.database_url, "SECRET_KEY": SECRET_KEY}
    with running_server(tmp_path, settings) as server:
        assert "Traceback" not in server.err


def _columns(connection: sa.Connection) -> dict[tuple[str, str], Mapping[str, Any]]:
    inspector = sa.inspect(connection)
    return {
        (table, column["name"]): dict(column)
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
    }


async def _look(database_url: str) -> Columns:
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        columns = await connection.run_sync(_columns)
    await engine.dispose()
    return columns


def test_sto_8_a_migration_takes_nothing_away_from_the_release_before(database_url: str) -> None:
    """What a statement of the code before reads is there, and what it inserts is enough."""
    config = alembic_config(database_url)
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    command.downgrade(config, FIRST)
    before: Columns = run(_look(database_url))
    for revision in revisions[revisions.index(FIRST) + 1 :]:
        command.upgrade(config, revision)
        after: Columns = run(_look(database_url))
        assert not before.keys() - after.keys(), f"{revision} takes columns away"
        for (table, name), column in after.items():
            old = before.get((table, name))
            needed = not column["nullable"] and column["default"] is None
            known = any(table == other for other, _ in before)
            assert not (needed and known and (old is None or old["nullable"])), f"{revision}: {table}.{name}"
        before = after
    command.check(config)
