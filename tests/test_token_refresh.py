"""Refreshing (RFC 6749 §6): what is refused, what is narrowed, and how long it goes on."""

from typing import Any

import httpx2
import pytest

from tests import back_channel
from tests.back_channel import basic, refused
from tests.support.world import World
from tests.test_token_code_life import claims_of


async def still_refreshes(world: World, client: dict[str, Any], refresh_token: str) -> dict[str, Any]:
    """What was valid still works."""
    answer = await world.refresh(client, refresh_token)
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    assert (await world.call(issued["access_token"])).status_code == 200
    return issued


async def test_a_refresh_answers_like_a_redemption(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    answer = await world.refresh(client, tokens["refresh_token"])

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["refresh_token"] != tokens["refresh_token"]
    assert tokens["refresh_token"] not in answer.text
    before, after = claims_of(world, tokens["access_token"]), claims_of(world, body["access_token"])
    assert after["exp"] - after["iat"] == body["expires_in"] <= 3600
    assert before["jti"] != after["jti"]
    assert {name: before[name] for name in ("iss", "sub", "aud", "client_id", "scope")} == {
        name: after[name] for name in ("iss", "sub", "aud", "client_id", "scope")
    }


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("x", id="REF-1-short"),
        pytest.param("ost_refresh_", id="REF-1-prefix-only"),
        pytest.param("ost_refresh_" + "A" * 43, id="REF-1-unknown"),
        pytest.param("é" * 300, id="REF-1-not-ascii"),
        pytest.param("y" * 9000, id="REF-1-long"),
        pytest.param("' OR 1=1 --", id="REF-1-sql"),
    ],
)
async def test_an_unknown_refresh_token_is_refused(world: World, token: str) -> None:
    client = await world.register()

    await refused(world, world.refresh(client, token), 400, "invalid_grant")


@pytest.mark.parametrize("kind", ["code", "access_token"])
async def test_ref_1_another_kind_of_secret_is_no_refresh_token(world: World, kind: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    secret = await world.code(client) if kind == "code" else tokens["access_token"]

    await refused(world, world.refresh(client, secret), 400, "invalid_grant")

    await still_refreshes(world, client, tokens["refresh_token"])


async def test_a_refresh_without_a_token_is_refused(world: World) -> None:
    client = await world.register()

    await refused(world, world.refresh(client, ""), 400, "invalid_request")


async def test_ref_2_a_token_of_another_client_is_refused_and_the_family_lives(world: World) -> None:
    owner, thief = await world.register(), await world.register(client_name="Other")
    tokens = await world.tokens(owner)

    await refused(world, world.refresh(thief, tokens["refresh_token"]), 400, "invalid_grant")

    await still_refreshes(world, owner, tokens["refresh_token"])


async def test_ref_2_another_client_cannot_kill_a_family_with_a_superseded_token(world: World) -> None:
    owner, thief = await world.register(), await world.register(client_name="Other")
    tokens = await world.tokens(owner)
    successor = await still_refreshes(world, owner, tokens["refresh_token"])
    world.clock.advance(minutes=5)

    await refused(world, world.refresh(thief, tokens["refresh_token"]), 400, "invalid_grant")

    await still_refreshes(world, owner, successor["refresh_token"])


async def test_ref_5_a_narrower_scope_narrows_the_access_token_and_not_the_family(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    narrowed = await still_refreshes_with(world, client, tokens["refresh_token"], scope="mcp")

    assert set(narrowed["scope"].split()) == {"mcp"}
    assert claims_of(world, narrowed["access_token"])["scope"] == "mcp"
    whoami = (await world.call(narrowed["access_token"])).json()["result"]["structuredContent"]
    assert (whoami["username"], whoami["name"], whoami["email"]) == (None, None, None)
    widened = await still_refreshes_with(world, client, narrowed["refresh_token"])
    assert set(widened["scope"].split()) == {"mcp", "profile", "email", "offline_access"}


async def still_refreshes_with(
    world: World, client: dict[str, Any], refresh_token: str, **more: str
) -> dict[str, Any]:
    """A refresh with more parameters that succeeds."""
    answer = await world.refresh(client, refresh_token, **more)
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param("mcp email", id="wider"),
        pytest.param("email", id="other"),
        pytest.param("mcp unknown", id="unknown"),
        pytest.param('mcp "x"', id="malformed"),
        pytest.param("mcp ümlaut", id="not-ascii"),
    ],
)
async def test_a_scope_that_was_not_granted_is_refused_and_nothing_rotates(world: World, scope: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client, scope="mcp profile")

    await refused(world, world.refresh(client, tokens["refresh_token"], scope=scope), 400, "invalid_scope")

    await still_refreshes(world, client, tokens["refresh_token"])


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param("https://evil.example/mcp", id="REF-6-other-host"),
        pytest.param("http://localhost:8000", id="REF-6-origin"),
        pytest.param("http://localhost:8000/mcp-other", id="REF-6-prefix"),
        pytest.param("http://localhost:8000/mcp#x", id="REF-6-fragment"),
        pytest.param("mcp", id="REF-6-relative"),
    ],
)
async def test_another_resource_is_refused_and_nothing_rotates(world: World, resource: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    request = world.refresh(client, tokens["refresh_token"], resource=resource)

    await refused(world, request, 400, "invalid_target")
    await still_refreshes(world, client, tokens["refresh_token"])


@pytest.mark.parametrize("resource", ["http://localhost:8000/mcp", "HTTP://Localhost:8000/mcp/"])
async def test_ref_6_the_same_resource_in_any_spelling_is_accepted(world: World, resource: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    issued = await still_refreshes_with(world, client, tokens["refresh_token"], resource=resource)

    assert claims_of(world, issued["access_token"])["aud"] == world.settings.resource


@pytest.mark.parametrize(
    "event",
    [
        pytest.param("user disabled", id="REF-10-user-disabled"),
        pytest.param("user disabled and enabled", id="REF-10-user-enabled-again"),
        pytest.param("password reset", id="REF-10-password-reset"),
        pytest.param("grant revoked", id="REF-10-grant-revoked"),
    ],
)
async def test_nothing_refreshes_after_the_permission_is_gone(world: World, event: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    if event.startswith("user disabled"):
        await back_channel.disable_user(world)
        if event.endswith("enabled"):
            await back_channel.enable_user(world)
    elif event == "password reset":
        await back_channel.reset_password(world)
    else:
        await back_channel.revoke_grants(world)

    await refused(world, world.refresh(client, tokens["refresh_token"]), 400, "invalid_grant")

    assert (await world.call(tokens["access_token"])).status_code == 401


async def test_ref_11_a_grant_ends_after_ninety_days_however_often_it_is_used(world: World) -> None:
    client = await world.register()
    token = (await world.tokens(client))["refresh_token"]
    for _ in range(4):
        world.clock.advance(days=22)
        token = (await still_refreshes(world, client, token))["refresh_token"]
    world.clock.advance(days=2, seconds=-1)
    token = (await still_refreshes(world, client, token))["refresh_token"]

    world.clock.advance(seconds=2)

    await refused(world, world.refresh(client, token), 400, "invalid_grant", without_effect=False)


async def test_ref_12_a_token_that_rests_for_thirty_days_ends(world: World) -> None:
    client = await world.register()
    token = (await world.tokens(client))["refresh_token"]
    world.clock.advance(days=30, seconds=-1)
    token = (await still_refreshes(world, client, token))["refresh_token"]

    world.clock.advance(days=30, seconds=1)

    await refused(world, world.refresh(client, token), 400, "invalid_grant", without_effect=False)


@pytest.mark.parametrize("event", ["disabled", "deleted"])
async def test_ref_13_a_client_that_is_gone_is_told_to_register_again(world: World, event: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    await (back_channel.disable_client if event == "disabled" else back_channel.delete_client)(world, client)

    await refused(world, world.refresh(client, tokens["refresh_token"]), 401, "invalid_client")

    assert (await world.call(tokens["access_token"])).status_code == 401


async def test_ref_14_a_confidential_client_must_authenticate_and_nothing_rotates(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    code = await world.code(client)
    redeemed = await world.http.post(
        "/oauth/token", data=world.redemption(client, code), headers=basic(client)
    )
    token = redeemed.json()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token}

    await refused(world, world.refresh(client, token), 401, "invalid_client")
    wrong = world.http.post("/oauth/token", data=form, headers=basic(client, "ost_secret_wrong"))
    await refused(world, wrong, 401, "invalid_client")

    right: httpx2.Response = await world.http.post("/oauth/token", data=form, headers=basic(client))
    assert right.status_code == 200, right.text


async def test_a_client_that_registered_no_refreshing_may_not_refresh(world: World) -> None:
    plain, other = await world.register(grant_types=["authorization_code"]), await world.register()
    tokens = await world.tokens(other)

    request = world.refresh(plain, tokens["refresh_token"])

    await refused(world, request, 400, "unauthorized_client", "invalid_grant")
    await still_refreshes(world, other, tokens["refresh_token"])
