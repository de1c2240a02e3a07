"""How long registrations last: the ones in use for good, the others while there is room and time."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

from app.database import Database
from tests.support.world import REDIRECT_URI, World, running_world
from tests.test_registration import assert_refusal

PUBLIC = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}


async def try_to_register(world: World) -> httpx2.Response:
    """A registration that may find no room."""
    return await world.http.post("/oauth/register", json=PUBLIC)


async def registered(world: World) -> set[str]:
    """Who is registered now."""
    return {row["client_id"] for row in await world.rows("SELECT client_id FROM clients")}


async def deleted(world: World, reason: str) -> Sequence[str]:
    """Whom the record tells to be gone for this reason."""
    rows = await world.rows(
        "SELECT client_id FROM audit_events WHERE event = 'client.deleted' AND reason = :reason ORDER BY id",
        reason=reason,
    )
    return [row["client_id"] for row in rows]


async def test_reg_20_the_newest_registration_takes_the_place_of_the_oldest(
    make_world: Callable[..., Any],
) -> None:
    world = await make_world(registration_cap=3)
    first = await world.register()
    world.clock.advance(minutes=1)
    kept = [(await world.register())["client_id"] for _ in range(2)]
    world.clock.advance(minutes=20)

    newest = await world.register()

    assert await registered(world) == {*kept, newest["client_id"]}
    assert await deleted(world, "cap_reached") == [first["client_id"]]


async def test_reg_20_a_flood_does_not_push_out_who_is_in_the_middle_of_connecting(
    make_world: Callable[..., Any],
) -> None:
    world = await make_world(registration_cap=2)
    await world.create_user("alice")
    young = [await world.register() for _ in range(2)]

    answer = await try_to_register(world)

    assert_refusal(answer, {503}, {"temporarily_unavailable"})
    assert 0 < int(answer.headers["retry-after"]) <= 900
    assert await registered(world) == {client["client_id"] for client in young}
    assert await world.rows("SELECT 1 FROM audit_events WHERE reason = 'registrations_full'")
    assert (await world.tokens(young[0]))["access_token"]


async def test_reg_20_who_was_approved_is_neither_counted_nor_removed(make_world: Callable[..., Any]) -> None:
    world = await make_world(registration_cap=1)
    await world.create_user("alice")
    used = [await world.register()]
    tokens = await world.tokens(used[0])
    unused = await world.register()
    world.clock.advance(minutes=20)

    newest = await world.register()

    assert await registered(world) == {used[0]["client_id"], newest["client_id"]}
    assert await deleted(world, "cap_reached") == [unused["client_id"]]
    assert (await world.refresh(used[0], tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize("ending", ["revoked", "denied"])
async def test_reg_20_a_client_with_a_history_is_told_apart_from_one_without(
    make_world: Callable[..., Any], ending: str
) -> None:
    """A grant keeps its client even when it is over; a refusal does not."""
    world = await make_world(registration_cap=1)
    await world.create_user("alice")
    client = await world.register()
    if ending == "revoked":
        tokens = await world.tokens(client)
        assert (await world.revoke(client, tokens["refresh_token"])).status_code == 200
    else:
        browser = await world.signed_in_browser()
        parked = await world.authorize(browser, client)
        assert (await world.decide(browser, parked.headers["location"], "deny")).status_code == 303
    world.clock.advance(minutes=20)

    newest = await world.register()

    expected = {newest["client_id"]} | ({client["client_id"]} if ending == "revoked" else set())
    assert await registered(world) == expected


async def test_reg_20_a_request_that_waits_keeps_its_client(make_world: Callable[..., Any]) -> None:
    world = await make_world(registration_cap=1)
    await world.create_user("alice")
    client = await world.register()
    world.clock.advance(minutes=20)
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client)

    assert_refusal(await try_to_register(world), {503})

    assert (await world.decide(browser, parked.headers["location"])).status_code == 303
    # It is in use from now on, and there is room for another.
    assert (await try_to_register(world)).status_code == 201
    assert client["client_id"] in await registered(world)


async def test_reg_20_a_request_that_waited_too_long_keeps_nobody(make_world: Callable[..., Any]) -> None:
    world = await make_world(registration_cap=1)
    client = await world.register()
    await world.authorize(world.browser(), client)
    world.clock.advance(minutes=20)

    newest = await world.register()

    assert await registered(world) == {newest["client_id"]}


async def test_registrations_that_were_never_used_go_when_their_time_is_over(
    make_world: Callable[..., Any],
) -> None:
    world = await make_world(registration_unused_days=2)
    await world.create_user("alice")
    used, forgotten = await world.register(), [await world.register() for _ in range(12)]
    await world.tokens(used)
    world.clock.advance(days=1, hours=23)
    young = await world.register()
    assert len(await registered(world)) == 14
    world.clock.advance(hours=2)

    # A few at a time, so that nobody waits for it.
    newest = [await world.register() for _ in range(2)]

    expected = {client["client_id"] for client in [used, young, *newest]}
    assert await registered(world) == expected
    assert set(await deleted(world, "never_used")) == {client["client_id"] for client in forgotten}


async def test_a_lower_cap_is_reached_step_by_step(make_world: Callable[..., Any]) -> None:
    roomy = await make_world(registration_cap=100)
    for _ in range(30):
        await roomy.register()
    strict = await make_world(registration_cap=3)
    strict.clock.advance(minutes=20)

    sizes = []
    for _ in range(5):
        await strict.register()
        strict.clock.advance(minutes=20)
        sizes.append(len(await registered(strict)))

    assert sizes == [20, 10, 3, 3, 3]


@pytest.mark.postgresql
async def test_a_client_that_someone_works_with_is_left_alone_and_nobody_waits(postgres_url: str) -> None:
    async with running_world(postgres_url, registration_cap=1) as world:
        held = await world.register()
        world.clock.advance(minutes=20)
        other = Database(postgres_url, 1)
        try:
            async with other.transaction() as tx:
                await tx.connection.exec_driver_sql("SELECT 1 FROM clients FOR NO KEY UPDATE")
                assert_refusal(await try_to_register(world), {503})
        finally:
            await other.close()
        assert await registered(world) == {held["client_id"]}
        assert (await try_to_register(world)).status_code == 201


@pytest.mark.postgresql
async def test_a_client_that_is_removed_in_the_very_moment_is_no_mistake_of_the_server(
    postgres_url: str,
) -> None:
    """The request waits for the removal, finds nothing left to hang on, and may be sent again."""
    async with running_world(postgres_url) as world:
        client = await world.register()
        other = Database(postgres_url, 1)
        try:
            async with other.transaction() as tx:
                await tx.connection.exec_driver_sql("DELETE FROM clients")
                async with anyio.create_task_group() as tasks:
                    answers: list[httpx2.Response] = []

                    async def ask() -> None:
                        answers.append(await world.authorize(world.browser(), client))

                    tasks.start_soon(ask)
                    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    while not await world.rows(waiting):
                        await anyio.lowlevel.checkpoint()
                    await tx.connection.commit()
        finally:
            await other.close()
        assert answers[0].status_code == 503
        assert int(answers[0].headers["retry-after"]) > 0
        assert (await world.authorize(world.browser(), client)).status_code == 400
