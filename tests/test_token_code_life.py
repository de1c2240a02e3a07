"""A code is good once, while everyone concerned is: replay, races, revocation; and what a success answers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.oauth import jwt
from tests import back_channel
from tests.back_channel import refused
from tests.support.world import VERIFIER, World

MakeWorld = Callable[..., Coroutine[Any, Any, World]]


def claims_of(world: World, access_token: str) -> dict[str, Any]:
    """The claims of an access token, with its signature verified."""
    keys = {
        key["kid"]: jwt.import_verification_key(key) for key in world.services.signing_keys.jwks()["keys"]
    }
    return jwt.verify(access_token, keys, "at+jwt")


# ----------------------------------------------------------------------------------------------- once
async def test_tok_18_a_second_redemption_is_refused_and_kills_the_tokens_of_the_first(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    tokens = (await world.redeem(client, code)).json()
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()

    await refused(world, world.redeem(client, code), 400, "invalid_grant", without_effect=False)

    for issued in (tokens, refreshed):
        assert (await world.call(issued["access_token"])).status_code == 401
        back_channel.assert_error(await world.refresh(client, issued["refresh_token"]), 400, "invalid_grant")


async def test_tok_18_the_tokens_stay_dead_after_a_replay_of_an_expired_code(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    tokens = (await world.redeem(client, code)).json()
    world.clock.advance(seconds=120)

    await refused(world, world.redeem(client, code), 400, "invalid_grant", without_effect=False)

    alive = (await world.call(tokens["access_token"])).status_code == 200
    again = await world.refresh(client, tokens["refresh_token"])
    assert alive == (again.status_code == 200), "either the whole grant is dead or none of it"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_verifier": "w" * 43}, id="TOK-18-wrong-verifier"),
        pytest.param({"code_verifier": None}, id="TOK-18-no-verifier"),
        pytest.param({"redirect_uri": "http://127.0.0.1/other"}, id="TOK-18-wrong-redirect"),
        pytest.param({"client_id": "other"}, id="TOK-18-other-client"),
    ],
)
async def test_a_replay_that_proves_nothing_does_not_kill_the_tokens(
    world: World, changes: dict[str, str | None]
) -> None:
    """OAuth 2.1 §7.5.3: else whoever saw a code could disconnect the client."""
    client, other = await world.register(), await world.register(client_name="Other")
    code = await world.code(client)
    tokens = (await world.redeem(client, code)).json()
    if changes.get("client_id"):
        changes = {"client_id": other["client_id"]}

    await refused(world, world.redeem(client, code, **changes), 400, "invalid_grant", "invalid_request")

    assert (await world.call(tokens["access_token"])).status_code == 200
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_rac_1_of_twenty_redemptions_at_once_exactly_one_succeeds(world: World) -> None:
    client = await world.register()
    code = await world.code(client)

    answers = await asyncio.gather(*(world.redeem(client, code) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    for answer in answers:
        if answer.status_code == 400:
            back_channel.assert_error(answer, 400, "invalid_grant")
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (await world.call(won["access_token"])).status_code == 401
    assert (await world.refresh(client, won["refresh_token"])).status_code == 400


# ------------------------------------------------------------------------- between approval and token
@pytest.mark.parametrize(
    ("event", "status", "error"),
    [
        pytest.param("user disabled", 400, "invalid_grant", id="TOK-21-user-disabled"),
        pytest.param("user disabled and enabled", 400, "invalid_grant", id="TOK-21-user-enabled-again"),
        pytest.param("password reset", 400, "invalid_grant", id="TOK-21-password-reset"),
        pytest.param("grant revoked", 400, "invalid_grant", id="TOK-21-grant-revoked"),
        pytest.param("client disabled", 401, "invalid_client", id="TOK-21-client-disabled"),
        pytest.param("client deleted", 401, "invalid_client", id="TOK-21-client-deleted"),
    ],
)
async def test_a_code_dies_with_whom_it_was_made_for(
    world: World, event: str, status: int, error: str
) -> None:
    client = await world.register()
    code = await world.code(client)
    if event.startswith("user disabled"):
        await back_channel.disable_user(world)
        if event.endswith("enabled"):
            await back_channel.enable_user(world)
    elif event == "password reset":
        await back_channel.reset_password(world)
    elif event == "grant revoked":
        await back_channel.revoke_grants(world)
    elif event == "client disabled":
        await back_channel.disable_client(world, client)
    else:
        await back_channel.delete_client(world, client)

    await refused(world, world.redeem(client, code), status, error, without_effect=False)

    assert await world.rows("SELECT * FROM refresh_tokens") == []


# -------------------------------------------------------------------------------------------- success
async def test_tok_23_a_success_answers_everything_that_the_client_needs(world: World) -> None:
    client = await world.register()
    code = await world.code(client)

    answer = await world.redeem(client, code)

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert code not in answer.text
    assert VERIFIER not in answer.text
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert type(body["expires_in"]) is int
    assert 0 < body["expires_in"] <= 3600
    assert set(body["scope"].split()) == {"mcp", "profile", "email", "offline_access"}
    claims = claims_of(world, body["access_token"])
    assert claims["aud"] == world.settings.resource
    assert claims["exp"] - claims["iat"] == body["expires_in"]
    assert set(claims["scope"].split()) == set(body["scope"].split())


async def test_tok_23_an_access_token_lives_as_long_as_it_says(make_world: MakeWorld) -> None:
    world = await make_world(access_token_seconds=300)
    await world.create_user("alice")
    tokens = await world.tokens(await world.register())
    assert tokens["expires_in"] == 300

    world.clock.advance(seconds=299)
    assert (await world.call(tokens["access_token"])).status_code == 200
    world.clock.advance(seconds=1)
    assert (await world.call(tokens["access_token"])).status_code == 401


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        pytest.param("mcp", {"mcp"}, id="TOK-23-less"),
        pytest.param("mcp unknown", {"mcp"}, id="TOK-23-unknown-dropped"),
        pytest.param(" mcp  email ", {"mcp", "email"}, id="TOK-23-surplus-spaces"),
    ],
)
async def test_the_answer_names_the_scope_that_was_granted(
    world: World, asked: str, granted: set[str]
) -> None:
    tokens = await world.tokens(await world.register(), scope=asked)

    assert set(tokens["scope"].split()) == granted
    assert set(claims_of(world, tokens["access_token"])["scope"].split()) == granted


@pytest.mark.parametrize("resource", [None, "http://localhost:8000/mcp/", "HTTP://LOCALHOST:8000/mcp"])
async def test_tok_23_the_audience_is_the_canonical_resource_however_it_was_asked(
    world: World, resource: str | None
) -> None:
    tokens = await world.tokens(await world.register(), resource=resource)

    assert claims_of(world, tokens["access_token"])["aud"] == "http://localhost:8000/mcp"


async def test_only_a_client_that_refreshes_gets_a_refresh_token(world: World) -> None:
    plain = await world.register(grant_types=["authorization_code"])
    refreshing = await world.register()

    assert "refresh_token" not in await world.tokens(plain)
    assert "refresh_token" in await world.tokens(refreshing, scope="mcp")


# --------------------------------------------------------------------------------------------- limits
async def until_limited(world: World, send: Callable[[], Coroutine[Any, Any, Any]], errors: set[str]) -> None:
    """Send wrong requests until the answer is 429, at most the thousand of the table."""
    for _ in range(1000):
        answer = await send()
        if answer.status_code == 429:
            back_channel.assert_error(answer, 429, answer.json()["error"])
            assert int(answer.headers["retry-after"]) > 0
            return
        assert answer.json()["error"] in errors, answer.text
    pytest.fail("1000 wrong attempts within a minute were not slowed down")


async def test_tok_25_guessing_codes_is_slowed_down_and_valid_neighbours_are_served(world: World) -> None:
    client, neighbour = await world.register(), await world.register(client_name="Neighbour")
    code = await world.code(neighbour)

    await until_limited(world, lambda: world.redeem(client, "ost_code_guess"), {"invalid_grant"})

    redeemed = await world.redeem(neighbour, code)
    assert redeemed.status_code == 200, redeemed.text
    assert (await world.refresh(neighbour, redeemed.json()["refresh_token"])).status_code == 200


async def test_tok_25_guessing_secrets_is_slowed_down_and_valid_neighbours_are_served(world: World) -> None:
    victim = await world.register(token_endpoint_auth_method="client_secret_post")
    neighbour = await world.register(token_endpoint_auth_method="client_secret_post", client_name="Neighbour")
    code = await world.code(neighbour)
    valid = await world.code(victim)

    await until_limited(
        world, lambda: world.redeem(victim, "x", client_secret="ost_secret_guess"), {"invalid_client"}
    )

    assert (await world.redeem(neighbour, code)).status_code == 200
    # The victim itself is not locked out by someone else's guesses from elsewhere.
    async with world.machine("198.51.100.9") as elsewhere:
        answer = await elsewhere.post("/oauth/token", data=world.redemption(victim, valid))
        assert answer.status_code == 200, answer.text


async def test_tok_25_the_limit_ends(world: World) -> None:
    client = await world.register()
    await until_limited(world, lambda: world.redeem(client, "ost_code_guess"), {"invalid_grant"})

    world.clock.advance(hours=1)

    assert (await world.redeem(client, await world.code(client))).status_code == 200
