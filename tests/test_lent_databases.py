"""Databases that are handed from test to test: nothing of one test reaches the next."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from tests.support.databases import Databases
from tests.support.world import running_world

pytestmark = pytest.mark.postgresql


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of a test."""
    connection = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(False))
    try:
        yield connection
    finally:
        connection.terminate()


async def test_the_next_one_finds_no_row_and_the_numbers_of_a_new_database(
    postgres_databases: Databases,
) -> None:
    numbers = []
    urls = []
    for _ in range(2):
        with postgres_databases.lend() as url:
            async with running_world(url) as world:
                counted = await world.counts() | {"users": len(await world.rows("SELECT id FROM users"))}
                await world.create_user("alice")
                await world.tokens(await world.register())
                events = await world.rows("SELECT id FROM audit_events ORDER BY id")
        assert set(counted.values()) == {0}
        numbers.append([event["id"] for event in events])
        urls.append(url)
    assert urls[0] == urls[1]
    assert numbers[0] == numbers[1] == list(range(1, len(numbers[0]) + 1))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE clients RENAME TO moved",
        "ALTER TABLE users ADD COLUMN height integer",
        "ALTER TABLE users ALTER COLUMN username DROP NOT NULL",
        "DROP INDEX ix_audit_events_at",
        "CREATE TABLE notes (id integer)",
        "UPDATE alembic_version SET version_num = 'of tomorrow'",
        "DROP TABLE alembic_version",
    ],
)
async def test_a_database_with_another_schema_is_not_handed_on(
    postgres_databases: Databases, statement: str
) -> None:
    with postgres_databases.lend() as url:
        async with connected(url) as connection:
            await connection.execute(statement)
            await connection.close()

    with postgres_databases.lend() as another:
        assert another != url


async def test_a_database_in_which_someone_still_writes_is_not_handed_on(
    postgres_databases: Databases,
) -> None:
    with postgres_databases.lend() as url:
        pass
    async with connected(url) as connection:
        await connection.execute("BEGIN; DELETE FROM users")

        with postgres_databases.lend() as another:
            assert another != url
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.execute("DELETE FROM users")


async def test_whoever_is_still_connected_is_sent_away(postgres_databases: Databases) -> None:
    with postgres_databases.lend() as url:
        pass
    async with connected(url) as connection:
        with postgres_databases.lend() as again:
            assert again == url
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.execute("DELETE FROM users")
