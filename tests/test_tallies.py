"""What is counted by the hour: exact, bounded, and nothing that a request waits for."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.audit import Origin
from app.database import Database
from app.purge import purge
from app.tallies import MOST_KEPT, OTHER, Tallies, count_over_time, tallies
from tests.front_channel import change
from tests.support.internet import URL, Internet
from tests.support.world import REDIRECT_URI, FakeClock, World, running_world


async def counted(world: World) -> Mapping[tuple[str, str], int]:
    """What is written, of all hours together, after what waits was written."""
    await world.services.tallies.write()
    async with world.database.reading() as tx:
        rows = await tx.execute(
            sa.select(tallies.c.kind, tallies.c.label, sa.func.sum(tallies.c.count).label("times")).group_by(
                tallies.c.kind, tallies.c.label
            )
        )
        return {(row.kind, row.label): int(row.times) for row in rows}


async def test_a_flow_is_counted(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    for _ in range(3):
        assert (await world.call(refreshed["access_token"])).status_code == 200
    assert (await world.call("nonsense")).status_code == 401
    assert (await world.refresh(client, "nonsense")).status_code == 400
    counts = await counted(world)
    assert counts == {
        ("registration", "dynamic"): 1,
        ("token", "authorization_code"): 1,
        ("token", "refresh_token"): 1,
        ("call", "/mcp"): 3,
        ("refusal", "/mcp: invalid_token"): 1,
        **{key: 1 for key in counts if key[0] == "refusal" and key[1].startswith("/oauth/token: ")},
    }
    assert sum(times for (kind, _), times in counts.items() if kind == "refusal") == 2


async def test_a_wrong_password_is_counted(world: World) -> None:
    await world.sign_in(world.browser(), "alice", "wrong")
    assert (await counted(world))["refusal", "/login: wrong_password"] == 1


async def test_an_app_that_a_document_describes_is_counted_once(make_world: Any, internet: Internet) -> None:
    world = await make_world(egress=internet.egress())
    await world.create_user("alice")
    browser = await world.signed_in_browser()
    for _ in range(2):
        await world.authorize(browser, {"client_id": URL, "redirect_uris": [REDIRECT_URI]})
    assert (await counted(world))["registration", "document"] == 1


async def test_each_hour_has_its_own_count(world: World) -> None:
    counts = world.services.tallies
    start = world.clock.now().replace(minute=0, second=0, microsecond=0)
    for minutes, times in ((0, 2), (59, 1), (1, 4), (120, 1)):
        world.clock.advance(minutes=minutes)
        for _ in range(times):
            counts.count("call", "/mcp")
        await counts.write()
    async with world.database.reading() as tx:
        hours = await count_over_time(tx, start, timedelta(hours=1), 4)
        days = await count_over_time(tx, start - timedelta(days=1), timedelta(days=2), 1)
        before = await count_over_time(tx, start - timedelta(hours=4), timedelta(hours=1), 4)
    assert sum(hours["call", "/mcp"]) == 8
    assert [times for times in hours["call", "/mcp"] if times] in ([2, 5, 1], [3, 4, 1], [7, 1])
    assert days["call", "/mcp"] == [8]
    assert before == {}


async def test_replicas_add_to_one_another(world: World) -> None:
    """Twenty at once, in whatever order each of them counted."""
    replicas = [Tallies(world.database, world.clock) for _ in range(20)]
    for number, replica in enumerate(replicas):
        labels = [f"label-{(number + step) % 10}" for step in range(10)]
        for label in labels:
            replica.count("refusal", label)
    await asyncio.gather(*(replica.write() for replica in replicas))
    counts = await counted(world)
    assert counts == {("refusal", f"label-{number}"): 20 for number in range(10)}


async def test_whatever_a_stranger_sends_the_memory_is_bounded(world: World) -> None:
    counts = Tallies(world.database, world.clock)
    for number in range(MOST_KEPT + 300):
        counts.count("refusal", f"{number} " + "x" * 1000)
    assert counts.waiting == MOST_KEPT + 1
    await counts.write()
    assert counts.waiting == 0
    found = await counted(world)
    assert found["refusal", OTHER] == 300
    assert max(len(label) for _, label in found) == 100


async def test_while_the_database_is_away_nothing_fails_and_nothing_is_lost() -> None:
    database = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    counts = Tallies(database, FakeClock())
    for _ in range(3):
        counts.count("call", "/mcp")
        await counts.write()
    assert counts.waiting == 1
    await database.close()


async def test_what_can_not_be_written_is_told_kept_and_written_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await change(world, "ALTER TABLE tallies RENAME TO gone")
    counts = Tallies(world.database, world.clock)
    for _ in range(2):
        counts.count("call", "/mcp")
        await counts.close()
    assert "1 counts were not written" in caplog.text
    await change(world, "ALTER TABLE gone RENAME TO tallies")
    await counts.close()
    assert await counted(world) == {("call", "/mcp"): 2}


async def test_what_waits_is_written_when_the_server_stops(database_url: str) -> None:
    async with running_world(database_url) as world:
        world.services.tallies.count("call", "/mcp")
    async with running_world(database_url) as world:
        assert (await counted(world))["call", "/mcp"] == 1


async def test_counts_go_with_the_events_of_their_time(world: World) -> None:
    counts = world.services.tallies
    counts.count("call", "old")
    await counts.write()
    world.clock.advance(days=366)
    counts.count("call", "new")
    await counts.write()
    removed = await purge(world.database, world.services.policy, Origin(world.clock.now(), "test"))
    assert removed["tallies"] == 1
    assert await counted(world) == {("call", "new"): 1}
