"""What serves nobody any more goes by itself: one process at a time, slowly, and whatever happens to the database."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.database import Database, DatabaseUnavailable
from app.purge import Purging
from tests.support.world import World

MakeWorld = Callable[..., Any]


def purging(world: World, database: Database | None = None, every: float = 0) -> Purging:
    """As a process of this installation does it."""
    return Purging(database or world.database, world.services.policy, world.clock, every)


async def expired_requests(world: World, number: int = 1) -> None:
    """Questions that nobody answered, long ago."""
    client = await world.register()
    for _ in range(number):
        await world.authorize(world.browser(), client)
    world.clock.advance(hours=3)


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again; what does not come fails the test."""
    async with asyncio.timeout(20):
        for _ in itertools.count():
            if await reached():
                return
            await asyncio.sleep(0.02)


async def said(caplog: pytest.LogCaptureFixture) -> bool:
    """The operator was told that the database is away."""
    return "Nothing was purged" in caplog.text


async def gone(world: World) -> bool:
    """No question is left."""
    return not await world.rows("SELECT id FROM authorization_requests")


async def test_a_round_removes_what_the_command_would(world: World) -> None:
    await expired_requests(world, 2)
    assert await purging(world).once() == {"authorization_requests": 2}
    assert await purging(world).once() == {}


async def test_a_round_takes_as_many_batches_as_it_needs(world: World) -> None:
    await expired_requests(world)
    async with world.database.transaction() as tx:
        await tx.connection.exec_driver_sql(
            "INSERT INTO used_identifiers (kind, identifier_hash, expires_at) "
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
            "SELECT 'dpop', 'x' || i, '2020-01-01 00:00:00' FROM n"
        )
    assert await purging(world).once() == {"authorization_requests": 1, "used_identifiers": 2500}


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
async def test_a_process_leaves_it_to_another_that_is_at_it(world: World) -> None:
    await expired_requests(world)
    async with world.database.transaction() as other:
        assert await other.try_lock("purge")
        assert await purging(world).once() == {}
    assert await purging(world).once() == {"authorization_requests": 1}


async def test_many_processes_at_once_remove_everything_once(world: World) -> None:
    await expired_requests(world, 5)
    removed = await asyncio.gather(*(purging(world).once() for _ in range(5)))
    assert sum(each.get("authorization_requests", 0) for each in removed) == 5


async def test_it_begins_again_and_again_and_outlives_a_database_that_is_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await expired_requests(world)
    away = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable):
        await purging(world, away).once()
    task = asyncio.create_task(purging(world, away).run())
    await until(lambda: said(caplog))
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await away.close()


async def test_the_application_purges_by_itself(make_world: MakeWorld) -> None:
    world = await make_world(purge_seconds=1)
    await expired_requests(world)
    await until(lambda: gone(world))
