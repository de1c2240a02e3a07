"""Revisions of MCP with a handshake, with sessions and without, on the same protected endpoint."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests import back_channel
from tests.mcp_client import LegacyClient, message_of
from tests.support.world import World
from tests.test_access_tokens import assert_invalid_token

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


async def connected(world: World, version: str = "2025-11-25", username: str = "alice") -> LegacyClient:
    """A client of this person after the handshake."""
    tokens = await world.tokens(await world.register(), username)
    client = LegacyClient(world, tokens["access_token"], version)
    await client.initialize()
    return client


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sessions", [True, False])
async def test_every_older_revision_is_served(make_world: MakeWorld, version: str, sessions: bool) -> None:
    world = await make_world(mcp_sessions=sessions)
    await world.create_user("alice")
    tokens = await world.tokens(await world.register())
    client = LegacyClient(world, tokens["access_token"], version)

    result = await client.initialize()
    listed = await client.send("tools/list")
    called = await client.tool("whoami")
    ping = await client.send("ping")

    assert result["protocolVersion"] == version
    assert result["serverInfo"]["name"] == "ostiary"
    assert (client.session is not None) == sessions
    assert {tool["name"] for tool in message_of(listed)["result"]["tools"]} == {"hello", "whoami"}
    assert '"alice"' in message_of(called)["result"]["content"][0]["text"]
    assert "error" not in message_of(ping)


async def test_sessions_are_on_where_one_process_serves_everyone(world: World) -> None:
    client = await connected(world)

    assert (client.session is not None) == world.settings.database_url.startswith("sqlite")


async def test_an_unknown_revision_is_answered_with_one_that_is_spoken(make_world: MakeWorld) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    tokens = await world.tokens(await world.register())
    client = LegacyClient(world, tokens["access_token"], "1999-01-01")

    result = message_of(
        await client.send(
            "initialize",
            {
                "protocolVersion": "1999-01-01",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            },
        )
    )["result"]

    assert result["protocolVersion"] in VERSIONS


async def test_session_ids_cannot_be_guessed(make_world: MakeWorld) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")

    ids = {(await connected(world)).session for _ in range(3)}

    assert len(ids) == 3
    assert all(id_ is not None and len(id_) >= 22 for id_ in ids)


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_rsv_14_a_session_does_not_open_with_the_token_of_someone_else(
    make_world: MakeWorld, method: str
) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    await world.create_user("bob")
    alice = await connected(world)
    bob = LegacyClient(
        world, (await world.tokens(await world.register(), "bob"))["access_token"], "2025-11-25"
    )
    bob.session = alice.session

    if method == "POST":
        answer = await bob.tool("whoami")
    else:
        headers = bob.headers(**{"mcp-protocol-version": "2025-11-25"})
        answer = await world.http.request(method, "/mcp", headers=headers)

    assert answer.status_code in {403, 404}
    assert "alice" not in answer.text
    still = await alice.tool("whoami")
    assert '"alice"' in message_of(still)["result"]["content"][0]["text"]


async def test_rsv_14_a_session_does_not_open_for_another_app_of_the_same_person(
    make_world: MakeWorld,
) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    one, two = await connected(world), await connected(world)
    two.session = one.session

    answer = await two.tool("whoami")

    assert answer.status_code in {403, 404}


async def test_rsv_14_a_session_is_no_credential(make_world: MakeWorld) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    client = await connected(world)
    headers = client.headers(**{"mcp-protocol-version": "2025-11-25"})
    del headers["authorization"]

    answer = await world.http.post(
        "/mcp", headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    )

    assert answer.status_code == 401


async def test_rsv_14_a_session_goes_on_with_the_next_access_token(make_world: MakeWorld) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    registered = await world.register()
    tokens = await world.tokens(registered)
    client = LegacyClient(world, tokens["access_token"], "2025-11-25")
    await client.initialize()
    client.access_token = (await world.refresh(registered, tokens["refresh_token"])).json()["access_token"]
    world.clock.advance(minutes=1)

    answer = await client.tool("whoami")

    assert answer.status_code == 200, answer.text


async def test_a_session_ends_with_the_permission(make_world: MakeWorld) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    client = await connected(world)

    await back_channel.revoke_grants(world)

    assert_invalid_token(world, await client.tool("whoami"))


async def test_an_unknown_session_is_not_found(make_world: MakeWorld) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    client = await connected(world)
    client.session = "0" * 32

    assert (await client.tool("whoami")).status_code in {400, 404}


async def test_a_deleted_session_is_gone(make_world: MakeWorld) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    client = await connected(world)
    headers = client.headers(**{"mcp-protocol-version": "2025-11-25"})

    deleted = await world.http.delete("/mcp", headers=headers)

    assert deleted.status_code in {200, 202, 204}
    assert (await client.tool("whoami")).status_code == 404


@pytest.mark.parametrize("version", ["1999-01-01", "x"])
async def test_a_header_with_an_unknown_revision_is_refused(make_world: MakeWorld, version: str) -> None:
    world = await make_world(mcp_sessions=True)
    await world.create_user("alice")
    client = await connected(world)
    headers = client.headers(**{"mcp-protocol-version": version})

    answer = await world.http.post(
        "/mcp", headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    )

    assert answer.status_code == 400, answer.text


async def test_without_sessions_each_request_stands_alone(make_world: MakeWorld) -> None:
    world = await make_world(mcp_sessions=False)
    await world.create_user("alice")
    tokens = await world.tokens(await world.register())
    client = LegacyClient(world, tokens["access_token"], "2025-11-25")

    answer = await client.tool("hello")

    assert message_of(answer)["result"]["content"][0]["text"] == "Hello, Alice!"
