"""Token exchange (RFC 8693): an access token of ours for a narrower one, on the same grant."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest

from tests.back_channel import disable_user, refused, revoke_grants
from tests.front_channel import Standing, change
from tests.support.world import World

pytest_plugins = ["tests.standing"]

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
GRANT_TYPES = ["authorization_code", "refresh_token", GRANT_TYPE]


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def exchange(
    world: World, client: Mapping[str, Any], subject_token: str, /, **changes: str | None
) -> httpx2.Response:
    """Send an exchange; a change to None leaves a field out."""
    form: dict[str, str | None] = {
        "grant_type": GRANT_TYPE,
        "subject_token": subject_token,
        "subject_token_type": ACCESS_TOKEN,
        "client_id": client["client_id"],
        "client_secret": client.get("client_secret"),
        **changes,
    }
    data = {name: value for name, value in form.items() if value is not None}
    return await world.http.post("/oauth/token", data=data)


async def operators_client(world: World, **metadata: Any) -> dict[str, Any]:
    """A confidential client that the operator made."""
    client = await world.register(
        grant_types=GRANT_TYPES, token_endpoint_auth_method="client_secret_post", **metadata
    )
    await change(
        world, "UPDATE clients SET registration = 'manual' WHERE client_id = :id", id=client["client_id"]
    )
    return client


async def test_an_app_passes_on_less_than_it_has(world: World) -> None:
    client = await world.register(grant_types=GRANT_TYPES)
    tokens = await world.tokens(client)
    world.clock.advance(minutes=5)
    answer = await exchange(world, client, tokens["access_token"], scope="mcp")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["issued_token_type"] == ACCESS_TOKEN
    assert (body["token_type"], body["scope"]) == ("Bearer", "mcp")
    assert "refresh_token" not in body
    assert answer.headers["cache-control"] == "no-store"
    before, after = claims_of(tokens["access_token"]), claims_of(body["access_token"])
    assert (after["sub"], after["aud"], after["grant_id"]) == (
        before["sub"],
        before["aud"],
        before["grant_id"],
    )
    assert after["exp"] == before["exp"], "it outlives what it came from"
    assert "act" not in after
    assert "name" not in after
    result = (await world.call(body["access_token"])).json()["result"]["structuredContent"]
    assert (result["scopes"], result["name"]) == (["mcp"], None)


async def test_without_a_scope_all_that_means_something_at_the_resource_is_kept(world: World) -> None:
    client = await world.register(grant_types=GRANT_TYPES)
    token = (await world.tokens(client))["access_token"]
    body = (await exchange(world, client, token)).json()
    assert set(body["scope"].split()) == {"mcp", "profile", "email"}


async def test_the_new_token_falls_with_the_grant(world: World) -> None:
    client = await world.register(grant_types=GRANT_TYPES)
    tokens = await world.tokens(client)
    narrower = (await exchange(world, client, tokens["access_token"])).json()["access_token"]
    await world.revoke(client, tokens["refresh_token"])
    assert (await world.call(narrower)).status_code == 401


async def test_a_client_of_the_operator_acts_for_someone_and_says_so(world: World) -> None:
    app, server = await world.register(grant_types=GRANT_TYPES), await operators_client(world)
    token = (await world.tokens(app))["access_token"]
    first = (await exchange(world, server, token)).json()["access_token"]
    assert claims_of(first)["act"] == {"sub": server["client_id"], "client_id": server["client_id"]}
    assert claims_of(first)["client_id"] == server["client_id"]
    second = await operators_client(world, client_name="Second")
    chained = (await exchange(world, second, first)).json()["access_token"]
    assert claims_of(chained)["act"] == {
        "sub": second["client_id"],
        "client_id": second["client_id"],
        "act": {"sub": server["client_id"], "client_id": server["client_id"]},
    }
    own = (await exchange(world, second, chained)).json()["access_token"]
    assert claims_of(own)["act"] == claims_of(chained)["act"], "nobody new acts"


async def test_an_actor_token_names_who_acts(world: World) -> None:
    await world.create_user("bob")
    client = await world.register(grant_types=GRANT_TYPES)
    subject = (await world.tokens(client))["access_token"]
    actor = (await world.tokens(client, "bob"))["access_token"]
    answer = await exchange(world, client, subject, actor_token=actor, actor_token_type=ACCESS_TOKEN)
    claims = claims_of(answer.json()["access_token"])
    assert claims["sub"] == claims_of(subject)["sub"]
    assert claims["act"] == {"sub": claims_of(actor)["sub"], "client_id": client["client_id"]}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"subject_token": None}, "invalid_request", id="no subject token"),
        pytest.param({"subject_token_type": None}, "invalid_request", id="no type"),
        pytest.param({"subject_token_type": "x"}, "invalid_request", id="unknown type"),
        pytest.param(
            {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            "invalid_request",
            id="refresh token",
        ),
        pytest.param({"requested_token_type": "x"}, "invalid_request", id="wants another type"),
        pytest.param({"actor_token": "x"}, "invalid_request", id="actor without type"),
        pytest.param({"actor_token_type": ACCESS_TOKEN}, "invalid_request", id="type without actor"),
        pytest.param(
            {"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_request", id="actor unknown"
        ),
        pytest.param(
            {"actor_token": "x", "actor_token_type": "y"}, "invalid_request", id="actor of other type"
        ),
        pytest.param({"subject_token": "x"}, "invalid_request", id="unknown"),
        pytest.param({"subject_token": "y" * 9000}, "invalid_request", id="long"),
        pytest.param({"resource": "https://other.example/mcp"}, "invalid_target", id="other resource"),
        pytest.param({"audience": "other"}, "invalid_target", id="other audience"),
        pytest.param({"scope": "mcp openid"}, "invalid_scope", id="wider"),
        pytest.param({"scope": 'mcp "'}, "invalid_scope", id="malformed"),
    ],
)
async def test_exchanges_that_are_refused(
    standing: Standing, changes: dict[str, str | None], error: str
) -> None:
    world, client = standing.world, await standing.client(grant_types=GRANT_TYPES)
    token = (await world.tokens(client))["access_token"]
    await refused(world, exchange(world, client, token, **changes), 400, error)


async def test_opt_11_a_client_without_the_right_is_refused(world: World) -> None:
    client = await world.register()
    token = (await world.tokens(client))["access_token"]
    await refused(world, exchange(world, client, token), 400, "unauthorized_client")


async def test_a_token_of_another_app_is_not_exchanged(world: World) -> None:
    theirs, mine = (
        await world.register(grant_types=GRANT_TYPES),
        await world.register(grant_types=GRANT_TYPES),
    )
    token = (await world.tokens(theirs))["access_token"]
    await refused(world, exchange(world, mine, token), 400, "invalid_request")


async def test_a_client_that_can_not_prove_to_be_the_operators_exchanges_no_token_of_another(
    world: World,
) -> None:
    """Anyone can name the id of a public client."""
    theirs, named = (
        await world.register(grant_types=GRANT_TYPES),
        await world.register(grant_types=GRANT_TYPES),
    )
    await change(
        world, "UPDATE clients SET registration = 'manual' WHERE client_id = :id", id=named["client_id"]
    )
    own = await exchange(world, named, (await world.tokens(named))["access_token"])
    assert own.status_code == 200, own.text
    token = (await world.tokens(theirs))["access_token"]
    await refused(world, exchange(world, named, token), 400, "invalid_request")


@pytest.mark.parametrize("end", ["expired", "revoked", "grant revoked", "user disabled", "refresh token"])
async def test_a_token_that_is_not_good_is_not_exchanged(world: World, end: str) -> None:
    client = await world.register(grant_types=GRANT_TYPES)
    tokens = await world.tokens(client)
    token = tokens["access_token"]
    if end == "expired":
        world.clock.advance(minutes=15)
    elif end == "revoked":
        await world.revoke(client, token)
    elif end == "grant revoked":
        await revoke_grants(world)
    elif end == "user disabled":
        await disable_user(world)
    else:
        token = tokens["refresh_token"]
    await refused(world, exchange(world, client, token), 400, "invalid_request")


async def test_switched_off_it_is_neither_told_nor_done(make_world: Callable[..., Any]) -> None:
    world = await make_world(features_off="token_exchange")
    metadata = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert GRANT_TYPE not in metadata["grant_types_supported"]
    body = {"redirect_uris": ["http://127.0.0.1/cb"], "grant_types": GRANT_TYPES}
    answer = await world.http.post("/oauth/register", json=body)
    assert (answer.status_code, GRANT_TYPE in answer.json()["grant_types"]) == (201, False)
    client = await world.register()
    await refused(world, exchange(world, client, "x"), 400, "unsupported_grant_type")
