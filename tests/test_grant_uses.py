"""When and from where grants are used: what calls leave behind, and what they never do."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app import written_later
from app.authorization_server.grant_uses import Use, write_uses
from app.authorization_server.tables import grants
from app.database import Database, DatabaseUnavailable
from app.grant_uses import MOST_KEPT, GrantUses
from tests.support.world import FakeClock, World, mcp_call, mcp_headers, running_world

SQL = "SELECT * FROM grants"


async def _written(world: World) -> None:
    """What the running server does every few seconds."""
    uses: GrantUses = world.app.state.grant_uses
    await uses.write()


async def _grant(world: World) -> Mapping[str, Any]:
    return await world.tokens(await world.register())


async def _grant_id(world: World) -> str:
    await _grant(world)
    grant_id: str = (await world.rows(SQL))[0]["id"]
    return grant_id


async def test_a_call_leaves_when_and_from_where(world: World) -> None:
    token = (await _grant(world))["access_token"]
    assert (await world.rows(SQL))[0]["last_used_at"] is None
    for source, minutes in (("198.51.100.1", 0), ("198.51.100.2", 0.5), ("198.51.100.3", 2)):
        world.clock.advance(minutes=minutes)
        async with world.machine(source) as machine:
            await machine.post("/mcp", headers=mcp_headers(token, "whoami"), json=mcp_call("whoami", {}))
        await _written(world)
    async with world.database.reading() as tx:
        row = (await tx.execute(sa.select(grants))).one()
    now = world.clock.now()
    assert row.first_used_at == now - timedelta(minutes=2.5)
    # Exact to a minute: the call in between was one too many.
    assert (row.last_used_at, row.last_used_from) == (now, "198.51.100.3")


async def test_the_address_is_the_clients_behind_trusted_proxies_only(world: World) -> None:
    token = (await _grant(world))["access_token"]
    headers = {**mcp_headers(token, "whoami"), "x-forwarded-for": "192.0.2.99"}
    found = []
    for proxy in ("127.0.0.1", "203.0.113.7"):
        world.clock.advance(minutes=2)
        async with world.machine(proxy) as machine:
            await machine.post("/mcp", headers=headers, json=mcp_call("whoami", {}))
        await _written(world)
        found.append((await world.rows(SQL))[0]["last_used_from"])
    assert found == ["192.0.2.99", "203.0.113.7"]


async def test_the_first_use_is_told_once(world: World) -> None:
    token = (await _grant(world))["access_token"]
    for _ in range(3):
        await world.call(token)
        await _written(world)
        world.clock.advance(minutes=2)
    events = await world.rows("SELECT * FROM audit_events WHERE event = 'grant.first_used'")
    assert [(event["outcome"], event["source"]) for event in events] == [("ok", "203.0.113.7")]
    (grant,) = await world.rows(SQL)
    for name in ("user_id", "client_id", "reference"):
        assert events[0][name] == grant[name]


async def test_a_refused_call_is_no_use(world: World) -> None:
    tokens = await _grant(world)
    await world.revoke((await world.rows("SELECT client_id FROM clients"))[0], tokens["access_token"])
    assert (await world.call(tokens["access_token"])).status_code == 401
    assert (await world.call(None)).status_code == 401
    await _written(world)
    assert (await world.rows(SQL))[0]["first_used_at"] is None


async def test_stopping_writes_what_waits(database_url: str) -> None:
    async with running_world(database_url) as world:
        await world.create_user("alice")
        await world.call((await _grant(world))["access_token"])
    async with running_world(database_url) as world:
        assert (await world.rows(SQL))[0]["last_used_from"] == "203.0.113.7"


async def test_a_replica_that_is_late_does_not_step_back(world: World) -> None:
    grant_id = await _grant_id(world)
    now = world.clock.now()
    for minutes, source in ((5, "later"), (1, "earlier")):
        at = now + timedelta(minutes=minutes)
        async with world.database.transaction() as tx:
            assert await write_uses(tx, [Use(grant_id, at, at, source)]) == [grant_id]
    (row,) = await world.rows("SELECT last_used_from FROM grants")
    assert row["last_used_from"] == "later"


async def test_of_twenty_replicas_one_tells_the_first_use(world: World) -> None:
    grant_id = await _grant_id(world)
    replicas = [GrantUses(world.database, world.clock) for _ in range(20)]
    for number, replica in enumerate(replicas):
        replica.note(grant_id, f"192.0.2.{number}")
    await asyncio.gather(*(replica.write() for replica in replicas))
    events = await world.rows("SELECT * FROM audit_events WHERE event = 'grant.first_used'")
    assert len(events) == 1


async def test_a_grant_that_is_held_is_tried_once_more(world: World) -> None:
    grant_id = await _grant_id(world)
    uses = GrantUses(world.database, world.clock)
    uses.note(grant_id, "192.0.2.1")
    uses.note("grant_that_is_gone", "192.0.2.1")
    if not world.database.is_sqlite:
        async with world.database.transaction() as tx:
            await tx.execute(sa.select(grants).with_for_update())
            await uses.write()
            assert (await world.rows(SQL))[0]["first_used_at"] is None
    await uses.write()
    assert (await world.rows(SQL))[0]["first_used_at"] is not None
    await uses.write()
    assert uses.waiting == 0


class _Away(Database):
    """A database that can't be reached until it is told to come back."""

    away = True

    trouble: type[Exception] = DatabaseUnavailable

    def transaction(self, commit_on: tuple[type[Exception], ...] = ()) -> Any:
        if self.away:
            raise self.trouble
        return super().transaction(commit_on)


async def test_while_the_database_is_away_the_uses_are_kept_and_calls_go_on(world: World) -> None:
    grant_id = await _grant_id(world)
    database, clock = _Away(world.database.url), FakeClock()
    uses = GrantUses(database, clock)
    first = clock.now()
    for _ in range(3):
        uses.note(grant_id, "192.0.2.1")
        await uses.write()
        clock.advance(minutes=2)
    for number in range(MOST_KEPT + 5):
        uses.note(f"grant_{number}", "192.0.2.1")
    await uses.write()
    assert uses.waiting == MOST_KEPT
    uses.note(grant_id, "192.0.2.2")
    database.away = False
    await uses.write()
    async with world.database.reading() as tx:
        row = (await tx.execute(sa.select(grants))).one()
    assert (row.first_used_at, row.last_used_at, row.last_used_from) == (first, clock.now(), "192.0.2.2")
    await database.close()


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_the_loop_goes_on_whatever_happens(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    grant_id = await _grant_id(world)
    monkeypatch.setattr(written_later, "_WRITE_EVERY", 0.01)
    database = _Away(world.database.url)
    database.trouble = ZeroDivisionError
    uses = GrantUses(database, world.clock)
    uses.note(grant_id, "192.0.2.1")
    running = asyncio.create_task(uses.run())
    await _until(lambda: bool(caplog.records))
    await uses.close()
    assert "1 uses of grants were not written" in caplog.text
    database.away = False
    await _until(lambda: not uses.waiting)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await database.close()


async def test_noting_costs_microseconds(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    database = Database(database_url)
    uses = GrantUses(database, FakeClock())
    ids = [f"grant_{number:032x}" for number in range(1000)]
    began = time.perf_counter()
    for _ in range(20):
        for grant_id in ids:
            uses.note(grant_id, "192.0.2.1")
    each = (time.perf_counter() - began) / 20_000
    await database.close()
    assert each < 20e-6, f"{each * 1e6:.2f} µs"
