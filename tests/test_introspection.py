"""Token introspection (RFC 7662, RFC 9701): the truth, to those who may know."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.authorization_server.tables import clients
from tests.back_channel import (
    assert_error,
    basic,
    delete_client,
    disable_client,
    disable_user,
    refused,
    revoke_grants,
)
from tests.support.world import World, running_world

pytest_plugins = ["tests.standing"]

JWT = "application/token-introspection+jwt"
INACTIVE = {"active": False}
ELSEWHERE = "https://files.example/mcp"
SETTINGS: dict[str, Any] = {"resources": [{"url": ELSEWHERE}]}


@dataclass
class Scene:
    """A server, an app that people use, and the resource server that its tokens are for."""

    world: World
    app: dict[str, Any]
    guard: dict[str, Any]

    async def ask(
        self,
        token: str | None,
        client: Mapping[str, Any] | None = None,
        accept: str = "application/json",
        **more: str,
    ) -> httpx2.Response:
        """As the resource server, or another client with a secret."""
        headers = {**basic(client or self.guard), "accept": accept}
        form = more if token is None else {"token": token, **more}
        return await self.world.http.post("/oauth/introspect", data=form, headers=headers)


async def resource_server(world: World, *resources: str) -> dict[str, Any]:
    """A client that the operator lets look at tokens for these resources."""
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    async with world.database.transaction() as tx:
        same = clients.c.client_id == client["client_id"]
        await tx.execute(sa.update(clients).where(same).values(introspects=list(resources)))
    return client


async def scene_of(world: World) -> Scene:
    guard = await resource_server(world, world.settings.resource)
    return Scene(world, await world.register(), guard)


@pytest.fixture
async def scene(world: World) -> Scene:
    return await scene_of(world)


@pytest.fixture(scope="module")
async def lasting(standing_url: str) -> AsyncIterator[Scene]:
    """For what changes nothing."""
    async with running_world(standing_url, **SETTINGS) as world:
        await world.create_user("alice")
        yield await scene_of(world)


def parts_of(token: str) -> list[dict[str, Any]]:
    """Header and claims."""
    return [
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]
    ]


async def test_the_resource_server_learns_what_a_token_is_good_for(lasting: Scene) -> None:
    world = lasting.world
    token = (await world.tokens(lasting.app))["access_token"]
    answer = await lasting.ask(token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    now = int(world.clock.now().timestamp())
    claims = parts_of(token)[1]
    assert body == {
        "active": True,
        "token_type": "Bearer",
        "iss": world.settings.public_url,
        "sub": claims["sub"],
        "aud": world.settings.resource,
        "client_id": lasting.app["client_id"],
        "scope": claims["scope"],
        "iat": now,
        "exp": now + 900,
        "jti": claims["jti"],
        "username": "alice",
    }


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unknown"])
async def test_a_hint_changes_nothing(lasting: Scene, hint: str) -> None:
    token = (await lasting.world.tokens(lasting.app))["access_token"]
    assert (await lasting.ask(token, token_type_hint=hint)).json()["active"] is True


async def test_a_client_may_look_at_its_own_tokens_and_no_others(lasting: Scene) -> None:
    world = lasting.world
    own = await world.register(token_endpoint_auth_method="client_secret_post")
    other = await world.register(token_endpoint_auth_method="client_secret_basic")
    tokens = await world.tokens(own)

    async def ask_itself(token: str) -> Any:
        form = {"token": token, "client_id": own["client_id"], "client_secret": own["client_secret"]}
        return (await world.http.post("/oauth/introspect", data=form)).json()

    assert (await ask_itself(tokens["access_token"]))["active"] is True
    refresh = await ask_itself(tokens["refresh_token"])
    assert (refresh["active"], refresh["client_id"], refresh["username"]) == (True, own["client_id"], "alice")
    assert "token_type" not in refresh
    assert refresh["exp"] > refresh["iat"]
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert (await lasting.ask(token, other)).json() == INACTIVE


async def test_int_5_a_refresh_token_is_nothing_to_a_resource_server(lasting: Scene) -> None:
    tokens = await lasting.world.tokens(lasting.app)
    assert (await lasting.ask(tokens["refresh_token"])).json() == INACTIVE


async def test_a_token_for_another_resource_is_nothing_to_this_one(lasting: Scene) -> None:
    world = lasting.world
    elsewhere = await resource_server(world, ELSEWHERE)
    here = (await world.tokens(lasting.app))["access_token"]
    there = (await world.tokens(lasting.app, resource=ELSEWHERE))["access_token"]
    assert (await lasting.ask(there)).json() == INACTIVE
    assert (await lasting.ask(here, elsewhere)).json() == INACTIVE
    assert (await lasting.ask(there, elsewhere)).json()["aud"] == ELSEWHERE


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "e30.e30.e30",
        "a.b.c.d.e",
        "y" * 9000,
        "é" * 50,
        "ost_refresh_" + "A" * 43,
        "ost_code_" + "A" * 43,
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "*/*"])
async def test_int_3_an_unknown_token_is_inactive(lasting: Scene, token: str, accept: str) -> None:
    answer = await lasting.ask(token, accept=accept)
    assert (answer.status_code, answer.json()) == (200, INACTIVE)


@pytest.mark.parametrize(
    "end",
    [
        "expired",
        "revoked",
        "refresh token revoked",
        "grant revoked",
        "user disabled",
        "client disabled",
        "deleted",
    ],
)
async def test_int_3_a_token_that_is_over_is_inactive_at_once(scene: Scene, end: str) -> None:
    world = scene.world
    tokens = await world.tokens(scene.app)
    assert (await scene.ask(tokens["access_token"])).json()["active"] is True
    if end == "expired":
        world.clock.advance(minutes=15)
    elif end == "revoked":
        await world.revoke(scene.app, tokens["access_token"])
    elif end == "refresh token revoked":
        await world.revoke(scene.app, tokens["refresh_token"])
    elif end == "grant revoked":
        await revoke_grants(world)
    elif end == "user disabled":
        await disable_user(world)
    elif end == "client disabled":
        await disable_client(world, scene.app)
    else:
        await delete_client(world, scene.app)
    assert (await scene.ask(tokens["access_token"])).json() == INACTIVE


@pytest.mark.parametrize("end", ["idle", "spent", "revoked", "user disabled", "user deleted behind our back"])
async def test_a_refresh_token_that_is_over_is_inactive(scene: Scene, end: str) -> None:
    world = scene.world
    own = await world.register(token_endpoint_auth_method="client_secret_post")
    form = {"client_id": own["client_id"], "client_secret": own["client_secret"]}
    token = (await world.tokens(own))["refresh_token"]
    if end == "idle":
        world.clock.advance(days=31)
    elif end == "spent":
        await world.refresh(own, token, client_secret=own["client_secret"])
    elif end == "revoked":
        await revoke_grants(world)
    elif end == "user disabled":
        async with world.database.transaction() as tx:
            await tx.execute(sa.text("UPDATE users SET disabled_at = created_at"))
    else:
        async with world.database.transaction() as tx:
            await tx.execute(sa.text("UPDATE grants SET user_id = NULL"))
    answer = await world.http.post("/oauth/introspect", data={**form, "token": token})
    assert answer.json() == INACTIVE


async def test_int_1_without_credentials_nothing_is_told(lasting: Scene) -> None:
    world = lasting.world
    token = (await world.tokens(lasting.app))["access_token"]
    nobody = world.http.post("/oauth/introspect", data={"token": token})
    answer = await refused(world, nobody, 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")
    wrong = basic(lasting.guard, "ost_secret_wrong")
    request = world.http.post("/oauth/introspect", data={"token": token}, headers=wrong)
    answer = await refused(world, request, 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_int_2_a_public_client_is_told_nothing(lasting: Scene) -> None:
    world = lasting.world
    token = (await world.tokens(lasting.app))["access_token"]
    form = {"token": token, "client_id": lasting.app["client_id"]}
    answer = await refused(world, world.http.post("/oauth/introspect", data=form), 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_int_7_a_bearer_token_is_no_right_to_ask(lasting: Scene) -> None:
    token = (await lasting.world.tokens(lasting.app))["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    answer = await lasting.world.http.post("/oauth/introspect", data={"token": token}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]


async def test_a_request_without_token_is_malformed(lasting: Scene) -> None:
    assert_error(await lasting.ask(None), 400, "invalid_request")
    get = await lasting.world.http.get(
        "/oauth/introspect", params={"token": "x"}, headers=basic(lasting.guard)
    )
    assert (get.status_code, get.headers["allow"]) == (405, "POST")


async def test_the_answer_is_signed_for_who_asks_for_that(lasting: Scene) -> None:
    world = lasting.world
    token = (await world.tokens(lasting.app))["access_token"]
    answer = await lasting.ask(token, accept=JWT)
    assert answer.headers["content-type"] == JWT
    header, claims = parts_of(answer.text)
    assert (header["typ"], header["alg"]) == ("token-introspection+jwt", "ES256")
    keys = (await world.http.get("/.well-known/jwks.json")).json()["keys"]
    assert header["kid"] in {key["kid"] for key in keys}
    assert (claims["iss"], claims["aud"]) == (world.settings.public_url, lasting.guard["client_id"])
    assert claims["iat"] == int(world.clock.now().timestamp())
    assert claims["token_introspection"] == (await lasting.ask(token)).json()
    assert "sub" not in claims
    assert "exp" not in claims
    assert parts_of((await lasting.ask("x", accept=JWT)).text)[1]["token_introspection"] == INACTIVE


@pytest.mark.parametrize(
    ("accept", "signed"),
    [
        (f"application/json;q=0.5, {JWT.upper()} ; q=0.1", True),
        (f"{JWT};q=0, application/json", False),
        (f"{JWT}; q=0.000", False),
        (f"{JWT}; q=0.001", True),
        ("*/*", False),
        (f"{JWT}-more", False),
    ],
)
async def test_the_answer_is_in_the_form_that_is_asked_for(lasting: Scene, accept: str, signed: bool) -> None:
    """RFC 9110 §12.5.1; what takes anything gets JSON."""
    answer = await lasting.ask("x", accept=accept)
    assert (answer.headers["content-type"] == JWT) is signed


async def test_a_signed_answer_is_no_access_token(lasting: Scene) -> None:
    world = lasting.world
    signed = (await lasting.ask((await world.tokens(lasting.app))["access_token"], accept=JWT)).text
    assert (await world.call(signed)).status_code == 401
    assert (await lasting.ask(signed)).json() == INACTIVE


async def test_an_id_token_is_no_access_token(lasting: Scene) -> None:
    tokens = await lasting.world.tokens(lasting.app, scope="openid mcp")
    assert (await lasting.ask(tokens["id_token"])).json() == INACTIVE


async def test_switched_off_it_is_neither_told_nor_there(make_world: Callable[..., Any]) -> None:
    world = await make_world(features_off="introspection")
    metadata = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert [name for name in metadata if name.startswith("introspection")] == []
    answer = await world.http.post("/oauth/introspect", data={"token": "x", "client_id": "x"})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


async def test_metadata_tells_how_to_ask(lasting: Scene) -> None:
    metadata = (await lasting.world.http.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["introspection_endpoint"] == f"{lasting.world.settings.public_url}/oauth/introspect"
    assert "none" not in metadata["introspection_endpoint_auth_methods_supported"]
    assert metadata["introspection_signing_alg_values_supported"] == ["ES256"]
