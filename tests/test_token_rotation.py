"""Rotation (RFC 9700 §4.14.2) that survives retries and parallel use, and still notices a stolen token."""

import asyncio
from typing import Any

import pytest

from tests import back_channel
from tests.back_channel import refused
from tests.support.world import World


async def refreshed(world: World, client: dict[str, Any], refresh_token: str) -> dict[str, Any]:
    """A refresh that succeeds, with an access token that works."""
    answer = await world.refresh(client, refresh_token)
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    assert (await world.call(issued["access_token"])).status_code == 200
    return issued


async def assert_family_dead(world: World, client: dict[str, Any], *issued: dict[str, Any]) -> None:
    """No refresh token and no access token of the family works, and the reuse is on record."""
    for tokens in issued:
        back_channel.assert_error(await world.refresh(client, tokens["refresh_token"]), 400, "invalid_grant")
        call = await world.call(tokens["access_token"])
        assert call.status_code == 401
        assert 'error="invalid_token"' in call.headers["www-authenticate"]
    events = await world.rows("SELECT event, reason, grant_id FROM audit_events")
    assert any("refresh_reuse" in f"{event['event']} {event['reason']}" for event in events), events


async def test_ref_7_a_superseded_token_after_the_window_kills_the_family(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = await refreshed(world, client, first["refresh_token"])
    world.clock.advance(seconds=31)

    await refused(
        world, world.refresh(client, first["refresh_token"]), 400, "invalid_grant", without_effect=False
    )

    await assert_family_dead(world, client, first, second)


async def test_ref_7_a_superseded_token_whose_successor_was_used_kills_the_family(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = await refreshed(world, client, first["refresh_token"])
    third = await refreshed(world, client, second["refresh_token"])

    await refused(
        world, world.refresh(client, first["refresh_token"]), 400, "invalid_grant", without_effect=False
    )

    await assert_family_dead(world, client, first, second, third)


async def test_ref_7_the_death_of_a_family_leaves_others_alone(world: World) -> None:
    client, neighbour = await world.register(), await world.register(client_name="Neighbour")
    first, other = await world.tokens(client), await world.tokens(neighbour)
    again = await world.tokens(client)
    await refreshed(world, client, first["refresh_token"])
    world.clock.advance(minutes=1)

    await world.refresh(client, first["refresh_token"])

    await refreshed(world, neighbour, other["refresh_token"])
    await refreshed(world, client, again["refresh_token"])


@pytest.mark.parametrize("seconds", [0, 1, 29.999, 30])
async def test_ref_8_a_retry_inside_the_window_gets_the_same_successor(world: World, seconds: float) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = await refreshed(world, client, first["refresh_token"])
    world.clock.advance(seconds=seconds)

    retried = await refreshed(world, client, first["refresh_token"])

    assert retried["refresh_token"] == second["refresh_token"]
    assert (await world.call(second["access_token"])).status_code == 200
    await refreshed(world, client, second["refresh_token"])


async def test_ref_8_retries_do_not_move_the_window(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = await refreshed(world, client, first["refresh_token"])
    for _ in range(2):
        world.clock.advance(seconds=15)
        await refreshed(world, client, first["refresh_token"])

    world.clock.advance(seconds=0.001)

    await refused(
        world, world.refresh(client, first["refresh_token"]), 400, "invalid_grant", without_effect=False
    )
    await assert_family_dead(world, client, first, second)


async def test_ref_8_a_retry_adds_no_second_branch(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    await refreshed(world, client, first["refresh_token"])
    stored = await world.rows("SELECT * FROM refresh_tokens")

    await refreshed(world, client, first["refresh_token"])

    assert len(await world.rows("SELECT * FROM refresh_tokens")) == len(stored)


async def test_ref_8_a_narrowed_retry_is_narrowed_and_keeps_the_successor(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = await refreshed(world, client, first["refresh_token"])

    answer = await world.refresh(client, first["refresh_token"], scope="mcp")

    assert answer.status_code == 200
    assert answer.json()["refresh_token"] == second["refresh_token"]
    assert answer.json()["scope"] == "mcp"


async def test_ref_8_the_retry_of_a_revoked_grant_is_refused(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    await refreshed(world, client, first["refresh_token"])
    await back_channel.revoke_grants(world)

    await refused(world, world.refresh(client, first["refresh_token"]), 400, "invalid_grant")


async def test_ref_9_a_token_two_generations_old_inside_the_window_kills_the_family(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    world.clock.advance(seconds=5)
    second = await refreshed(world, client, first["refresh_token"])
    world.clock.advance(seconds=5)
    third = await refreshed(world, client, second["refresh_token"])
    world.clock.advance(seconds=5)

    await refused(
        world, world.refresh(client, first["refresh_token"]), 400, "invalid_grant", without_effect=False
    )

    await assert_family_dead(world, client, first, second, third)


async def test_rac_2_twenty_refreshes_at_once_all_succeed_with_one_successor(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)

    answers = await asyncio.gather(*(world.refresh(client, first["refresh_token"]) for _ in range(20)))

    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    for answer in answers:
        assert (await world.call(answer.json()["access_token"])).status_code == 200
    await refreshed(world, client, answers[0].json()["refresh_token"])


async def test_rac_3_twenty_reuses_at_once_after_the_window_are_all_refused(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = await refreshed(world, client, first["refresh_token"])
    world.clock.advance(minutes=1)

    answers = await asyncio.gather(*(world.refresh(client, first["refresh_token"]) for _ in range(20)))

    for answer in answers:
        back_channel.assert_error(answer, 400, "invalid_grant")
    await assert_family_dead(world, client, first, second)


async def test_a_refresh_and_a_revocation_at_once_leave_nothing_usable(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)

    answers = await asyncio.gather(
        *(world.refresh(client, first["refresh_token"]) for _ in range(5)),
        world.revoke(client, first["refresh_token"]),
        *(world.refresh(client, first["refresh_token"]) for _ in range(5)),
    )

    assert {answer.status_code for answer in answers} <= {200, 400}
    for answer in answers:
        if "access_token" in answer.text:
            assert (await world.call(answer.json()["access_token"])).status_code == 401
            back_channel.assert_error(
                await world.refresh(client, answer.json()["refresh_token"]), 400, "invalid_grant"
            )
