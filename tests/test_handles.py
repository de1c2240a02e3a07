"""What a tool gives out and takes back, and what it sends on: bound to the person, without their token.

RSV-15 (MCP security best practices, State Handle Hijacking), RSV-16 (Token Passthrough), and the state of a tool that
asks back (MCP 2026-07-28, Multi Round-Trip Requests).
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import InputRequiredResult

from app.resource_server.handles import CurrentHandles
from tests.support.world import PASSWORD, World, mcp_call, mcp_headers, running_world
from tests.test_resource_server import MakeWorld

pytest_plugins = ["tests.standing"]

server = MCPServer("handles", log_level="WARNING")
SETTINGS: dict[str, Any] = {"mcp_server": "tests.test_handles:server", "mcp_sessions": False}


@server.tool()
async def give(secret: str, handles: CurrentHandles, kind: str = "") -> str:
    """Seal something."""
    return handles.seal(secret, kind)


@server.tool()
async def take(handle: str, handles: CurrentHandles, kind: str = "") -> str:
    """Open it."""
    return handles.unseal(handle, kind)


@server.tool()
async def ask_back(context: Context) -> InputRequiredResult | str:
    """Go two rounds, with a state that the client carries."""
    if context.request_state is None:
        return InputRequiredResult(request_state="cart 7")
    return f"went on with {context.request_state}"


upstream: list[tuple[list[tuple[str, str]], str]] = []


@server.tool()
async def fetch(context: Context) -> str:
    """Ask somebody else, and pass on every header that came in, which no tool should do."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        upstream.append((list(request.headers.multi_items()), str(request.url)))
        return httpx2.Response(200, text="from upstream")

    incoming = context.request_context.request
    assert incoming is not None
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        sent = await http.get("https://upstream.example/data", headers=list(incoming.headers.items()))
    return sent.text


@pytest.fixture(scope="module")
async def world(standing_url: str) -> AsyncIterator[World]:
    async with running_world(standing_url, **SETTINGS) as running:
        for name in ("alice", "bob"):
            await running.create_user(name)
        yield running


@pytest.fixture(scope="module")
async def alice(world: World) -> str:
    """A token of alice."""
    token: str = (await world.tokens(await world.register()))["access_token"]
    return token


@pytest.fixture(scope="module")
async def bob(world: World) -> str:
    """A token of bob."""
    token: str = (await world.tokens(await world.register(), "bob"))["access_token"]
    return token


async def call(world: World, token: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """The result of a tool."""
    answer = await world.call(token, tool, **arguments)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


async def given(world: World, token: str, kind: str = "") -> str:
    """A handle of this person."""
    handle: str = (await call(world, token, "give", secret="the plan", kind=kind))["content"][0]["text"]
    return handle


def assert_refused(result: dict[str, Any]) -> None:
    """A tool error without data."""
    assert result["isError"] is True
    assert "not valid here" in str(result)
    assert "the plan" not in str(result)


async def test_a_handle_comes_back_from_the_person_who_got_it(world: World, alice: str) -> None:
    handle = await given(world, alice)
    assert "plan" not in handle
    assert await given(world, alice) != handle
    assert (await call(world, alice, "take", handle=handle))["content"][0]["text"] == "the plan"
    another_app = (await world.tokens(await world.register()))["access_token"]
    assert not (await call(world, another_app, "take", handle=handle)).get("isError")


async def test_rsv_15_a_handle_is_of_no_use_to_somebody_else(world: World, alice: str, bob: str) -> None:
    assert_refused(await call(world, bob, "take", handle=await given(world, alice)))


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param("", id="RSV-15 nothing"),
        pytest.param("the plan", id="RSV-15 no handle"),
        pytest.param("v1.", id="RSV-15 a beginning"),
        pytest.param("v1." + "A" * 80, id="RSV-15 made up"),
    ],
)
async def test_rsv_15_what_was_never_sealed_is_refused(world: World, alice: str, handle: str) -> None:
    assert_refused(await call(world, alice, "take", handle=handle))


async def test_rsv_15_an_altered_handle_is_refused(world: World, alice: str) -> None:
    handle = await given(world, alice)
    other = "A" if handle[30] != "A" else "B"
    assert_refused(await call(world, alice, "take", handle=handle[:30] + other + handle[31:]))


async def test_rsv_15_a_handle_of_another_kind_is_refused(world: World, alice: str) -> None:
    handle = await given(world, alice, "export")
    assert_refused(await call(world, alice, "take", handle=handle))
    assert not (await call(world, alice, "take", handle=handle, kind="export")).get("isError")


async def test_rsv_15_a_handle_ends_in_time(make_world: MakeWorld) -> None:
    world = await make_world(**SETTINGS)
    await world.create_user("alice")
    client = await world.register()
    tokens = await world.tokens(client)
    handle = await given(world, tokens["access_token"])
    world.clock.advance(minutes=59)
    tokens = (await world.refresh(client, tokens["refresh_token"])).json()
    assert not (await call(world, tokens["access_token"], "take", handle=handle)).get("isError")
    world.clock.advance(minutes=1)
    assert_refused(await call(world, tokens["access_token"], "take", handle=handle))


async def test_rsv_15_another_replica_opens_it_also_while_the_secret_changes(make_world: MakeWorld) -> None:
    world = await make_world(**SETTINGS)
    await world.create_user("alice")
    client = await world.register()
    handle = await given(world, (await world.tokens(client))["access_token"])
    key = world.settings.secret_key
    new = {"secret_key": "another secret key, as long as it must be", "secret_key_previous": key}
    for changes in ({}, {"secret_key_previous": key}, new):
        replica = await make_world(**SETTINGS, **changes)
        token = (await replica.tokens(client))["access_token"]
        assert not (await call(replica, token, "take", handle=handle)).get("isError")


async def test_without_a_door_there_are_no_handles() -> None:
    async with Client(server) as client:
        result = await client.call_tool("give", {"secret": "the plan"})
    assert result.is_error
    assert "signed-in caller" in str(result.content)


# ------------------------------------------------------------------------- the state of a tool that asks back
async def test_a_state_that_the_client_carries_is_sealed_for_the_caller(
    world: World, alice: str, bob: str
) -> None:
    first = await call(world, alice, "ask_back")
    assert first["resultType"] == "input_required"
    assert "cart" not in first["requestState"]

    async def go_on(token: str, state: str) -> dict[str, Any]:
        body = mcp_call("ask_back", {})
        body["params"]["requestState"] = state
        answer = await world.http.post("/mcp", headers=mcp_headers(token, "ask_back"), json=body)
        message: dict[str, Any] = answer.json()
        return message

    went_on = await go_on(alice, first["requestState"])
    assert went_on["result"]["content"][0]["text"] == "went on with cart 7"
    for token, state in (
        (bob, first["requestState"]),
        (alice, "cart 8"),
        (alice, first["requestState"][:-1]),
    ):
        assert (await go_on(token, state))["error"]["code"] == -32602


# --------------------------------------------------------------------------------------------- what is sent on
async def test_rsv_16_what_a_tool_passes_on_holds_no_credential_of_the_caller(
    world: World, alice: str
) -> None:
    upstream.clear()
    body, headers = mcp_call("fetch", {}), mcp_headers(alice, "fetch")
    pairs = [*headers.items(), ("x-trace", "kept")]
    answer = await world.http.post("/mcp", headers=pairs, json=body)
    assert "from upstream" in answer.text
    [(sent, url)] = upstream
    assert ("x-trace", "kept") in sent
    assert "authorization" not in [name.lower() for name, _ in sent]
    assert alice not in str(sent) + url
    assert PASSWORD not in str(sent)
