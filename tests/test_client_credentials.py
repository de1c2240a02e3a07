"""The client credentials grant (RFC 6749 §4.4): a client that acts for itself."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from app.authorization_server import store
from app.authorization_server.client_metadata import check_metadata
from app.authorization_server.records import Client
from app.oauth.credentials import CLIENT_SECRET, mint, mint_id
from app.oauth.errors import InvalidClientMetadata
from app.rows import values_of
from tests.back_channel import assert_error, basic, disable_client, refused, revoke_grants
from tests.front_channel import Standing
from tests.support.signing import SigningClient
from tests.support.world import REDIRECT_URI, World

pytest_plugins = ["tests.standing"]

MakeWorld = Callable[..., Awaitable[World]]
SCOPES = [
    {"name": "notes:read", "sentence": "Read notes"},
    {"name": "notes:write", "sentence": "Write notes", "implies": ["notes:read"]},
    {"name": "operate", "sentence": "Operate the server", "admins_only": True},
]


async def operators_client(world: World, **metadata: Any) -> dict[str, Any]:
    """A client that the operator made, which acts for itself."""
    wanted = {"grant_types": ["client_credentials"], "client_name": "A machine", **metadata}
    checked = check_metadata(wanted, world.services.policy, "client_secret_basic", by_operator=True)
    has_secret = checked.token_endpoint_auth_method.startswith("client_secret")
    secret = mint(CLIENT_SECRET) if has_secret else None
    client = Client(
        client_id=mint_id("client_"),
        **values_of(checked),
        secret_hash=world.services.keys.hash(secret) if secret else None,
        secret_expires_at=None,
        registration="manual",
        registered_from="cli",
        created_at=world.clock.now(),
        last_used_at=None,
        disabled_at=None,
    )
    async with world.database.transaction() as tx:
        await store.add_client(tx, client)
    return {**wanted, "client_id": client.client_id, "client_secret": secret}


async def ask(world: World, client: dict[str, Any], **form: Any) -> httpx2.Response:
    """Ask for a token with the client's secret."""
    data = {"grant_type": "client_credentials", **form}
    return await world.http.post("/oauth/token", data=data, headers=basic(client))


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_a_client_acts_for_itself(world: World) -> None:
    client = await operators_client(world)

    answered = await ask(world, client)

    assert answered.status_code == 200, answered.text
    body = answered.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "mcp")
    assert answered.headers["cache-control"] == "no-store"
    claims = claims_of(body["access_token"])
    assert (claims["sub"], claims["client_id"]) == (client["client_id"], client["client_id"])
    assert claims["aud"] == world.settings.resource
    called = await world.call(body["access_token"])
    whoami = called.json()["result"]["structuredContent"]
    people = {name: whoami[name] for name in ("user_id", "username", "name", "email")}
    assert people == dict.fromkeys(people)
    assert (whoami["client_id"], whoami["client_name"]) == (client["client_id"], "A machine")


async def test_a_tool_for_people_says_that_it_needs_one(world: World) -> None:
    token = (await ask(world, await operators_client(world))).json()["access_token"]

    called = await world.call(token, "hello")

    result = called.json()["result"]
    assert (called.status_code, result["isError"]) == (200, True)
    assert "works for a person" in result["content"][0]["text"]


async def test_a_client_that_signs_acts_for_itself(world: World) -> None:
    """The MCP extension io.modelcontextprotocol/oauth-client-credentials: an assertion, and no secret anywhere."""
    signer = SigningClient()
    client = await operators_client(world, token_endpoint_auth_method="private_key_jwt", jwks=signer.jwks)
    signer.client_id = client["client_id"]
    form = {"grant_type": "client_credentials", "resource": world.settings.resource, **signer.proof(world)}

    answered = await world.http.post("/oauth/token", data=form)

    assert answered.status_code == 200, answered.text
    assert (await world.call(answered.json()["access_token"])).status_code == 200


async def test_a_client_has_one_grant_for_each_scope_and_resource(make_world: MakeWorld) -> None:
    world = await make_world(
        scopes=SCOPES,
        resources=[{"url": "https://notes.example/mcp", "scopes": ["notes:read", "notes:write"]}],
    )
    client = await operators_client(world)
    for _ in range(3):
        for form in ({}, {"scope": "mcp"}, {"resource": "https://notes.example/mcp"}):
            assert (await ask(world, client, **form)).status_code == 200

    grants = await world.rows(
        "SELECT resource, scope, user_id, grant_type FROM grants ORDER BY resource, scope"
    )

    assert [(row["resource"], row["scope"]) for row in grants] == [
        ("http://localhost:8000/mcp", "mcp"),
        ("http://localhost:8000/mcp", "mcp notes:read notes:write"),
        ("https://notes.example/mcp", "notes:read notes:write"),
    ]
    assert {(row["user_id"], row["grant_type"]) for row in grants} == {(None, "client_credentials")}
    opened = await world.rows("SELECT grant_id FROM audit_events WHERE event = 'grant.opened'")
    assert len(opened) == 3


async def test_twenty_at_once_open_one_grant(world: World) -> None:
    client = await operators_client(world)

    answers = await asyncio.gather(*(ask(world, client) for _ in range(20)))

    assert [answered.status_code for answered in answers] == [200] * 20
    assert (await world.counts())["grants"] == 1
    assert len({answered.json()["access_token"] for answered in answers}) == 20


async def test_a_token_outlives_no_grant(world: World) -> None:
    client = await operators_client(world)
    await ask(world, client)
    world.clock.advance(days=89, hours=23, minutes=50)

    assert (await ask(world, client)).json()["expires_in"] == 900
    assert (await world.counts())["grants"] == 2


async def test_a_revoked_grant_ends_its_tokens_at_the_next_call_and_the_client_may_ask_again(
    world: World,
) -> None:
    client = await operators_client(world)
    token = (await ask(world, client)).json()["access_token"]
    assert (await world.call(token)).status_code == 200

    await revoke_grants(world)

    assert (await world.call(token)).status_code == 401
    again = (await ask(world, client)).json()["access_token"]
    assert (await world.call(again)).status_code == 200
    await disable_client(world, client)
    assert (await world.call(again)).status_code == 401
    assert_error(await ask(world, client), 401, "invalid_client")


async def test_a_client_revokes_its_own_token(world: World) -> None:
    client = await operators_client(world)
    token = (await ask(world, client)).json()["access_token"]

    answered = await world.http.post("/oauth/revoke", data={"token": token}, headers=basic(client))

    assert (answered.status_code, (await world.call(token)).status_code) == (200, 401)
    (event,) = await world.rows("SELECT user_id, client_id FROM audit_events WHERE event = 'token.revoked'")
    assert (event["user_id"], event["client_id"]) == (None, client["client_id"])


@pytest.mark.parametrize(
    ("registered", "asked", "granted"),
    [
        pytest.param(
            None, None, "mcp notes:read notes:write", id="everything but what is for people and admins"
        ),
        pytest.param(None, "mcp", "mcp", id="less"),
        pytest.param(None, "mcp profile email openid offline_access", "mcp", id="what MCP clients ask for"),
        pytest.param(None, "operate mcp", "mcp", id="for admins only"),
        pytest.param("mcp operate", None, "mcp operate", id="for admins, by the operator"),
        pytest.param("mcp operate", "operate", "operate", id="for admins, asked for"),
        pytest.param("notes:read", "notes:read notes:write", "notes:read", id="registered for less"),
        pytest.param("notes:write", None, "notes:write", id="registered, without the server's own"),
        pytest.param("profile mcp", None, "mcp", id="registered what is for people"),
        pytest.param(None, " mcp  unknown ", "mcp", id="unknown and spaces"),
    ],
)
async def test_the_scope_is_what_the_operator_allows(
    make_world: MakeWorld, registered: str | None, asked: str | None, granted: str
) -> None:
    world = await make_world(scopes=SCOPES)
    client = await operators_client(world, scope=registered)

    answered = await ask(world, client, **({} if asked is None else {"scope": asked}))

    assert answered.status_code == 200, answered.text
    assert answered.json()["scope"] == granted
    assert claims_of(answered.json()["access_token"])["scope"] == granted


@pytest.mark.parametrize(
    ("form", "error"),
    [
        pytest.param({"scope": "unknown"}, "invalid_scope", id="unknown"),
        pytest.param({"scope": "openid offline_access"}, "invalid_scope", id="only the server's own"),
        pytest.param({"scope": "profile email"}, "invalid_scope", id="only about people"),
        pytest.param({"scope": 'mcp "'}, "invalid_scope", id="malformed"),
        pytest.param({"resource": "https://other.example"}, "invalid_target", id="other resource"),
        pytest.param({"resource": "mcp"}, "invalid_target", id="relative resource"),
    ],
)
async def test_what_a_client_may_not_have_is_refused(
    standing: Standing, form: dict[str, str], error: str
) -> None:
    client = await operators_client(standing.world)

    await refused(standing.world, ask(standing.world, client, **form), 400, error)


async def test_tok_22_only_clients_of_the_operator_act_for_themselves(world: World) -> None:
    for method in ("client_secret_basic", "none"):
        client = await world.register(token_endpoint_auth_method=method)
        form = {"grant_type": "client_credentials"}
        if method == "none":
            request = world.http.post("/oauth/token", data={**form, "client_id": client["client_id"]})
        else:
            request = world.http.post("/oauth/token", data=form, headers=basic(client))
        await refused(world, request, 400, "unauthorized_client")


async def test_tok_22_a_client_that_became_public_acts_for_itself_no_longer(world: World) -> None:
    client = await operators_client(world)
    async with world.database.transaction() as tx:
        await tx.connection.exec_driver_sql("UPDATE clients SET token_endpoint_auth_method = 'none'")
    form = {"grant_type": "client_credentials", "client_id": client["client_id"]}

    await refused(world, world.http.post("/oauth/token", data=form), 400, "unauthorized_client")


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"grant_types": ["client_credentials"]}, id="alone"),
        pytest.param({"grant_types": ["authorization_code", "client_credentials"]}, id="beside the code"),
        pytest.param(
            {"grant_types": ["client_credentials"], "redirect_uris": []}, id="without redirect URIs"
        ),
    ],
)
async def test_reg_10_nobody_registers_to_act_for_itself(
    standing: Standing, metadata: dict[str, Any]
) -> None:
    body = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic", **metadata}
    request = standing.world.http.post("/oauth/register", json=body)

    await refused(standing.world, request, 400, "invalid_client_metadata")


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"token_endpoint_auth_method": "none"}, id="public"),
        pytest.param({"response_types": ["code"]}, id="response types for nothing"),
        pytest.param({"grant_types": ["client_credentials", "password"]}, id="other grant"),
        pytest.param({"token_endpoint_auth_method": "private_key_jwt"}, id="no keys"),
    ],
)
async def test_the_operator_too_makes_no_client_that_makes_no_sense(
    standing: Standing, metadata: dict[str, Any]
) -> None:
    with pytest.raises(InvalidClientMetadata):
        await operators_client(standing.world, **metadata)


async def test_a_client_of_the_operator_may_do_both(world: World) -> None:
    client = await operators_client(
        world, grant_types=["authorization_code", "client_credentials"], redirect_uris=[REDIRECT_URI]
    )

    assert (await ask(world, client)).status_code == 200
    form = world.redemption(client, await world.code(client), client_id=None)
    redeemed = await world.http.post("/oauth/token", data=form, headers=basic(client))
    assert (redeemed.status_code, redeemed.json()["scope"]) == (200, "mcp profile email offline_access")


async def test_switched_off_it_is_not_there(make_world: MakeWorld) -> None:
    world = await make_world(features_off=("client_credentials",))
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    metadata = (await world.http.get("/.well-known/oauth-authorization-server")).json()

    assert "client_credentials" not in metadata["grant_types_supported"]
    assert_error(await ask(world, client), 400, "unsupported_grant_type")
    with pytest.raises(InvalidClientMetadata):
        await operators_client(world)


async def test_the_metadata_names_it(standing: Standing) -> None:
    metadata = (await standing.world.http.get("/.well-known/oauth-authorization-server")).json()

    assert "client_credentials" in metadata["grant_types_supported"]
    assert {"private_key_jwt", "client_secret_basic"} <= set(
        metadata["token_endpoint_auth_methods_supported"]
    )
