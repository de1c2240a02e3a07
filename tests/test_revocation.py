"""Revocation (RFC 7009): always 200 for the owner, at once, in every process; others change nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests import back_channel
from tests.back_channel import basic, refused
from tests.support.world import World
from tests.test_access_tokens import segments

MakeWorld = Callable[..., Coroutine[Any, Any, World]]


async def assert_dead(world: World, access_token: str) -> None:
    """The resource server refuses the token as RFC 6750 §3.1 says."""
    answer = await world.call(access_token)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def refused_within(seconds: float, world: World, access_token: str) -> bool:
    """Whether the server comes to refuse the token in this time."""
    with anyio.move_on_after(seconds):
        while (await world.call(access_token)).status_code == 200:
            await anyio.lowlevel.checkpoint()
    return (await world.call(access_token)).status_code == 401


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "unknown"])
@pytest.mark.parametrize(
    "token",
    [
        pytest.param("x", id="REV-1-garbage"),
        pytest.param("ost_refresh_" + "A" * 43, id="REV-1-unknown-refresh-token"),
        pytest.param("e30.e30.e30", id="REV-1-empty-jwt"),
        pytest.param("é" * 100, id="REV-1-not-ascii"),
        pytest.param("y" * 9000, id="REV-1-long"),
        pytest.param("a.b.c.d.e", id="REV-1-five-parts"),
    ],
)
async def test_an_unknown_token_is_as_good_as_revoked(world: World, token: str, hint: str | None) -> None:
    client = await world.register()
    more = {} if hint is None else {"token_type_hint": hint}

    async with back_channel.no_effect(world):
        answer = await world.revoke(client, token, **more)

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_rev_1_an_expired_token_is_as_good_as_revoked(world: World, kind: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    world.clock.advance(days=100)

    answer = await world.revoke(client, tokens[kind])

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("hint", [None, "", "access_token", "refresh_token", "unknown", "x" * 500])
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_rev_3_a_wrong_hint_does_not_save_a_token(world: World, kind: str, hint: str | None) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    more = {} if hint is None else {"token_type_hint": hint}

    answer = await world.revoke(client, tokens[kind], **more)

    assert (answer.status_code, answer.content) == (200, b"")
    await assert_dead(world, tokens["access_token"])


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_rev_4_bad_credentials_change_nothing(world: World, method: str, kind: str) -> None:
    client = await world.register(token_endpoint_auth_method=method)
    form = world.redemption(client, await world.code(client))
    headers = basic(client) if method == "client_secret_basic" else {}
    tokens = (await world.http.post("/oauth/token", data=form, headers=headers)).json()

    await refused(world, world.revoke(client, tokens[kind]), 401, "invalid_client")
    await refused(world, world.revoke(client, tokens[kind], client_secret="wrong"), 401, "invalid_client")
    wrong = world.http.post("/oauth/revoke", data={"token": tokens[kind]}, headers=basic(client, "wrong"))
    await refused(world, wrong, 401, "invalid_client")

    assert (await world.call(tokens["access_token"])).status_code == 200
    if method == "client_secret_basic":
        right = await world.http.post("/oauth/revoke", data={"token": tokens[kind]}, headers=basic(client))
    else:
        right = await world.revoke(client, tokens[kind], client_secret=client["client_secret"])
    assert right.status_code == 200, right.text
    await assert_dead(world, tokens["access_token"])


async def test_rev_4_an_unknown_client_changes_nothing(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    request = world.revoke({"client_id": "client_unknown"}, tokens["access_token"])

    await refused(world, request, 401, "invalid_client")
    assert (await world.call(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_a_client_cannot_revoke_the_tokens_of_another(world: World, kind: str) -> None:
    """RFC 7009 §2.1: such a request is refused; saying nothing about the token (200) serves as well."""
    owner, stranger = await world.register(), await world.register(client_name="Other")
    tokens = await world.tokens(owner)

    async with back_channel.no_effect(world):
        answer = await world.revoke(stranger, tokens[kind])

    if answer.status_code != 200:
        back_channel.assert_error(
            answer, answer.status_code, "invalid_grant", "invalid_client", "invalid_request"
        )
        assert answer.status_code in {400, 401}
    assert (await world.call(tokens["access_token"])).status_code == 200
    assert (await world.refresh(owner, tokens["refresh_token"])).status_code == 200


async def test_rev_6_revoking_a_refresh_token_kills_everything_of_the_grant(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = (await world.refresh(client, first["refresh_token"])).json()

    assert (await world.revoke(client, second["refresh_token"])).status_code == 200

    for tokens in (first, second):
        await assert_dead(world, tokens["access_token"])
        request = world.refresh(client, tokens["refresh_token"])
        await refused(world, request, 400, "invalid_grant", without_effect=False)


async def test_rev_6_other_grants_of_the_same_person_and_client_live_on(world: World) -> None:
    client, other = await world.register(), await world.register(client_name="Other")
    revoked, kept, others = await world.tokens(client), await world.tokens(client), await world.tokens(other)

    assert (await world.revoke(client, revoked["refresh_token"])).status_code == 200

    await assert_dead(world, revoked["access_token"])
    for tokens in (kept, others):
        assert (await world.call(tokens["access_token"])).status_code == 200


async def test_rev_7_revoking_an_access_token_kills_it_alone(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = (await world.refresh(client, first["refresh_token"])).json()

    assert (await world.revoke(client, first["access_token"])).status_code == 200

    await assert_dead(world, first["access_token"])
    assert (await world.call(second["access_token"])).status_code == 200
    assert (await world.refresh(client, second["refresh_token"])).status_code == 200


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_rev_7_another_process_refuses_the_token_within_a_second(
    make_world: MakeWorld, kind: str
) -> None:
    here, there = await make_world(), await make_world()
    await here.create_user("alice")
    client = await here.register()
    tokens = await here.tokens(client)
    assert (await there.call(tokens["access_token"])).status_code == 200

    assert (await here.revoke(client, tokens[kind])).status_code == 200

    await assert_dead(here, tokens["access_token"])
    assert await refused_within(1, there, tokens["access_token"])


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_rev_7_a_restart_forgets_no_revocation(make_world: MakeWorld, kind: str) -> None:
    before = await make_world()
    await before.create_user("alice")
    client = await before.register()
    tokens = await before.tokens(client)
    assert (await before.revoke(client, tokens[kind])).status_code == 200

    after = await make_world()

    await assert_dead(after, tokens["access_token"])


async def test_rev_6_what_was_issued_under_a_longer_lifetime_is_revoked_as_well(
    make_world: MakeWorld,
) -> None:
    """The operator may shorten `ACCESS_TOKEN_SECONDS` at a restart; tokens that are out stay what they are."""
    before = await make_world(access_token_seconds=3600)
    await before.create_user("alice")
    client = await before.register()
    tokens = await before.tokens(client)
    after = await make_world(access_token_seconds=5)
    after.clock.advance(minutes=30)
    assert (await after.call(tokens["access_token"])).status_code == 200

    assert (await after.revoke(client, tokens["refresh_token"])).status_code == 200

    await assert_dead(after, tokens["access_token"])
    [entry] = await after.rows("SELECT keep_until FROM revocations")
    last = datetime.fromtimestamp(segments(tokens["access_token"])[1]["exp"], UTC)
    assert datetime.fromisoformat(str(entry["keep_until"])).replace(tzinfo=UTC) >= last


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_rev_9_the_same_token_twice_is_fine(world: World, kind: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    answers = [await world.revoke(client, tokens[kind]) for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 2
    await assert_dead(world, tokens["access_token"])


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_rev_9_the_same_token_ten_times_at_once_is_fine(world: World, kind: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    answers = await asyncio.gather(*(world.revoke(client, tokens[kind]) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}
    await assert_dead(world, tokens["access_token"])


# ------------------------------------------------------------------------------------------ the request
async def test_a_revocation_without_a_token_is_refused(world: World) -> None:
    client = await world.register()

    await refused(world, world.revoke(client, ""), 400, "invalid_request")


@pytest.mark.parametrize("name", ["token", "token_type_hint", "client_id"])
async def test_a_repeated_parameter_is_refused(world: World, name: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    form: dict[str, Any] = {
        "token": tokens["access_token"],
        "token_type_hint": "access_token",
        "client_id": client["client_id"],
    }

    request = world.http.post("/oauth/revoke", data={**form, name: [form[name], form[name]]})

    await refused(world, request, 400, "invalid_request")
    assert (await world.call(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_revokes(world: World, method: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    parameters = {"token": tokens["access_token"], "client_id": client["client_id"]}

    answer = await world.http.request(method, "/oauth/revoke", params=parameters)

    back_channel.assert_error(answer, 405, "invalid_request")
    assert "POST" in answer.headers["allow"]
    assert (await world.call(tokens["access_token"])).status_code == 200


async def test_a_json_body_is_refused(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    answer = await world.http.post(
        "/oauth/revoke", json={"token": tokens["access_token"], "client_id": client["client_id"]}
    )

    assert answer.status_code in {400, 415}
    back_channel.assert_error(answer, answer.status_code, "invalid_request")
    assert (await world.call(tokens["access_token"])).status_code == 200
