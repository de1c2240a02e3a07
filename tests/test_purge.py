"""What serves nobody any more goes, in small pieces; what still tells something stays."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.audit import Origin
from app.authorization_server import replay
from app.authorization_server.tables import grants
from app.leftovers import Leftovers
from app.purge import purge, steps
from tests.command_line import command_line
from tests.support.internet import URL, Internet
from tests.support.world import REDIRECT_URI, World


async def purged(world: World, most_batches: int | None = None) -> dict[str, int]:
    """Purge now; returns only what went."""
    origin = Origin(world.clock.now(), "test")
    removed = await purge(world.database, world.services.policy, origin, most_batches)
    assert set(removed) == set(steps(world.services.policy, origin))
    return {name: number for name, number in removed.items() if number}


async def count(world: World, table: str) -> int:
    """How many rows a table has."""
    number: int = (await world.rows(f"SELECT count(*) AS n FROM {table}"))[0]["n"]  # noqa: S608
    return number


async def test_what_is_in_use_stays(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    await world.authorize(world.browser(), client)

    assert await purged(world) == {}

    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200
    assert (await world.call(tokens["access_token"])).status_code == 200


async def test_requests_go_an_hour_after_their_end_and_codes_a_day(world: World) -> None:
    client = await world.register()
    await world.code(client)
    world.clock.advance(minutes=69)
    assert await purged(world) == {}
    world.clock.advance(minutes=2)
    assert await purged(world) == {"authorization_requests": 1}
    world.clock.advance(hours=22)
    assert set(await purged(world)) == {"sessions"}
    world.clock.advance(hours=2)
    assert await purged(world) == {"authorization_codes": 1}


async def test_sessions_go_when_they_are_idle_too_long(world: World) -> None:
    browser = await world.signed_in_browser()
    world.clock.advance(hours=11)
    assert await purged(world) == {}
    assert "alice" in (await browser.get("/login?switch=true")).text
    world.clock.advance(hours=11)
    assert await purged(world) == {}

    world.clock.advance(hours=2)

    assert await purged(world) == {"sessions": 1}


async def test_known_browsers_are_forgotten_with_their_cookie(world: World) -> None:
    await world.signed_in_browser()
    world.clock.advance(days=364)
    assert set(await purged(world)) == {"sessions"}
    world.clock.advance(days=2)
    assert (await purged(world))["devices"] == 1


async def test_a_refresh_token_stays_as_long_as_its_reuse_tells_of_a_theft(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = (await world.refresh(client, first["refresh_token"])).json()
    world.clock.advance(days=29)
    await purged(world)

    assert (await world.refresh(client, first["refresh_token"])).status_code == 400

    assert (await world.refresh(client, second["refresh_token"])).status_code == 400
    assert (await world.rows("SELECT revoked_because FROM grants"))[0]["revoked_because"] == "refresh_reuse"
    world.clock.advance(days=3)
    assert (await purged(world))["refresh_tokens"] == 2


async def test_a_grant_is_found_for_a_month_after_its_end_and_goes_with_all_that_hangs_on_it(
    world: World,
) -> None:
    client, kept = await world.register(), await world.register()
    tokens = await world.tokens(client)
    await world.revoke(client, tokens["refresh_token"])
    world.clock.advance(days=1)
    await world.tokens(kept)
    world.clock.advance(days=28)
    await purged(world)
    assert await count(world, "grants") == 2

    world.clock.advance(days=2)

    assert (await purged(world))["grants"] == 1
    assert [row["client_id"] for row in await world.rows("SELECT client_id FROM grants")] == [
        kept["client_id"]
    ]
    # Neither of the clients: both were allowed something once.
    assert await count(world, "clients") == 2


async def test_a_grant_that_ended_by_itself_goes_too(world: World) -> None:
    await world.tokens(await world.register())
    world.clock.advance(days=119)
    await purged(world)
    assert await count(world, "grants") == 1
    world.clock.advance(days=2)
    assert (await purged(world))["grants"] == 1


async def test_revocations_go_when_no_access_token_can_be_left(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    await world.revoke(client, tokens["refresh_token"])
    world.clock.advance(minutes=15)
    assert await purged(world) == {}
    assert (await world.call(tokens["access_token"])).status_code == 401
    # The lifetime may have been an hour before it was changed.
    world.clock.advance(minutes=49)
    assert "revocations" not in await purged(world)
    world.clock.advance(minutes=2)
    assert await purged(world) == {"revocations": 1}


async def test_used_identifiers_go_when_they_would_be_refused_anyway(world: World) -> None:
    until = world.clock.now() + timedelta(minutes=5)
    async with world.database.transaction() as tx:
        assert await replay.spend_identifier(tx, "dpop", "one", until)
    assert await purged(world) == {}
    world.clock.advance(minutes=6)
    assert await purged(world) == {"used_identifiers": 1}


async def test_registrations_without_use_go(make_world: Callable[..., Any]) -> None:
    world = await make_world(registration_unused_days=3)
    await world.create_user("alice")
    used = await world.register()
    await world.tokens(used)
    for _ in range(250):
        await world.register()
    world.clock.advance(days=4)

    # Bounded when that is asked for: one batch.
    assert (await purged(world, most_batches=1))["unused_clients"] == 200
    assert (await purged(world))["unused_clients"] == 50

    assert [row["client_id"] for row in await world.rows("SELECT client_id FROM clients")] == [
        used["client_id"]
    ]
    assert await count(world, "audit_events WHERE event = 'client.deleted' AND reason = 'never_used'") == 250


@pytest.mark.parametrize("fate", ["forgotten", "approved", "disabled"])
async def test_documents_that_were_read_for_nothing_are_forgotten(
    make_world: Callable[..., Any], internet: Internet, fate: str
) -> None:
    world = await make_world(egress=internet.egress())
    await world.create_user("alice")
    client = {"client_id": URL, "redirect_uris": [REDIRECT_URI]}
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client)
    if fate == "approved":
        await world.decide(browser, parked.headers["location"])
    if fate == "disabled":
        async with world.database.transaction() as tx:
            await tx.execute(sa.text("UPDATE clients SET disabled_at = created_at"))
    world.clock.advance(days=2)

    removed = await purged(world)

    assert removed.get("unused_documents", 0) == (1 if fate == "forgotten" else 0)
    if fate == "forgotten":
        # Whoever comes again has it read again.
        assert (await world.authorize(browser, client)).status_code == 303


async def test_a_batch_is_as_large_as_it_says(world: World) -> None:
    client = await world.register()
    for _ in range(3):
        await world.code(client)
    leftovers = Leftovers(grants, lambda _now: sa.true(), at_once=2)
    sizes = []
    for _ in range(3):
        async with world.database.transaction() as tx:
            sizes.append(await leftovers.remove(tx, world.clock.now()))
    assert sizes == [2, 1, 0]


async def test_the_command_tells_what_went(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with world.database.transaction() as tx:
        for number in range(1500):
            await replay.spend_identifier(tx, "dpop", str(number), world.clock.now() - timedelta(days=900))
    line = command_line(world.settings.database_url, tmp_path)

    told = (await line.quickly("purge", "--json")).data

    assert told["used_identifiers"] == 1500
    assert set(told) >= {"authorization_codes", "grants", "sessions", "unused_clients"}
    assert "used identifiers" in (await line.quickly("purge")).output
