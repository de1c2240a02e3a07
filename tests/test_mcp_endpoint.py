"""The MCP endpoint in revision 2026-07-28: stateless, and tools that know who is calling."""

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx2
import pytest
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import Context, MCPServer

from app.mcp_server.endpoint import NotAServer
from app.resource_server.identity import CurrentUser
from tests.support.world import World, mcp_call, mcp_headers

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
VERSION = "2026-07-28"
other_server = MCPServer("other")


@other_server.tool()
async def greet(user: CurrentUser, greeting: str = "Hi") -> str:
    """A tool of another server."""
    return f"{greeting}, {user.username}"


@other_server.tool()
async def spy(context: Context) -> list[str]:
    """Everything that a tool can find out about the token with which it was called."""
    token = get_access_token()
    request = context.request_context.request
    found = [repr(token), repr(vars(context)), "" if token is None else token.token]
    if request is not None:
        found += [repr(request.scope.get(name)) for name in ("user", "auth", "state")]
        found += [repr(value) for value in dict(request.headers).values()]
        found += [repr(request.scope["headers"])]
    return found


not_a_server = "a string"


async def send(
    world: World,
    token: str,
    method: str,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str | None] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> httpx2.Response:
    """One request of this revision, with changes to its headers and `_meta`; None leaves one out."""
    body = mcp_call("x", {})
    told = {**body["params"]["_meta"], **(meta or {})}
    _meta = {name: value for name, value in told.items() if value is not None}
    body |= {"method": method, "params": {**(params or {}), "_meta": _meta}}
    wanted = {**mcp_headers(token, "x"), "mcp-method": method, **(headers or {})}
    if "mcp-name" not in (headers or {}):
        wanted["mcp-name"] = (params or {}).get("name")
    kept = {name: value for name, value in wanted.items() if value is not None}
    return await world.http.post("/mcp", headers=kept, json=body)


@pytest.fixture
async def token(world: World) -> str:
    """An access token of alice."""
    issued: str = (await world.tokens(await world.register()))["access_token"]
    return issued


async def test_discovery_names_the_revisions_and_the_server(world: World, token: str) -> None:
    answer = await send(world, token, "server/discover")

    assert answer.status_code == 200, answer.text
    result = answer.json()["result"]
    assert VERSION in result["supportedVersions"]
    assert "tools" in result["capabilities"]
    assert result["resultType"] == "complete"
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "ostiary"
    assert {"ttlMs", "cacheScope"} <= set(result)


async def test_the_list_of_tools_shows_no_injected_identity(world: World, token: str) -> None:
    result = (await send(world, token, "tools/list")).json()["result"]

    schemas = {tool["name"]: tool["inputSchema"] for tool in result["tools"]}
    assert set(schemas) == {"hello", "whoami"}
    assert set(schemas["hello"].get("properties", {})) == {"name"}
    assert "name" not in schemas["hello"].get("required", [])
    assert not schemas["whoami"].get("properties")
    for word in ("user", "principal", "context", "client_id"):
        assert f'"{word}"' not in json.dumps(schemas)
    assert {"ttlMs", "cacheScope"} <= set(result)


@pytest.mark.parametrize(
    ("arguments", "greeting"),
    [({}, "Hello, Alice!"), ({"name": "Bob"}, "Hello, Bob!"), ({"name": None}, "Hello, Alice!")],
)
async def test_hello_greets_by_name_or_the_person_who_signed_in(
    world: World, token: str, arguments: dict[str, Any], greeting: str
) -> None:
    answer = await world.call(token, "hello", **arguments)

    assert answer.json()["result"]["content"][0]["text"] == greeting


@pytest.mark.parametrize("forged", ["user", "principal"])
async def test_identity_cannot_be_passed_as_an_argument(world: World, token: str, forged: str) -> None:
    mallory = {"id": "mallory", "username": "mallory", "name": "Mallory"}

    for tool in ("whoami", "hello"):
        answer = await send(world, token, "tools/call", {"name": tool, "arguments": {forged: mallory}})
        assert answer.json()["result"].get("isError") or "mallory" not in answer.text.lower()


@pytest.mark.parametrize(
    ("scope", "known"),
    [
        pytest.param("mcp", set(), id="mcp"),
        pytest.param("mcp profile", {"username", "name"}, id="profile"),
        pytest.param("mcp email", {"email"}, id="email"),
        pytest.param("mcp profile email", {"username", "name", "email"}, id="both"),
    ],
)
async def test_whoami_tells_only_what_was_agreed_to(world: World, scope: str, known: set[str]) -> None:
    client = await world.register()
    token = (await world.tokens(client, scope=scope))["access_token"]

    told = (await world.call(token)).json()["result"]["structuredContent"]

    assert {name for name in ("username", "name", "email") if told[name] is not None} == known
    assert told["user_id"]
    assert told["client_id"] == client["client_id"]
    assert told["scopes"] == sorted(scope.split())


async def test_hello_does_not_know_a_name_that_was_not_shared(world: World) -> None:
    token = (await world.tokens(await world.register(), scope="mcp"))["access_token"]

    assert (await world.call(token, "hello")).json()["result"]["content"][0]["text"] == "Hello, World!"


# ------------------------------------------------------------------------------------------- the protocol
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"mcp-method": "tools/list"}, id="other-method"),
        pytest.param({"mcp-method": None}, id="no-method"),
        pytest.param({"mcp-method": "TOOLS/CALL"}, id="method-case"),
        pytest.param({"mcp-name": "hello"}, id="other-name"),
        pytest.param({"mcp-name": None}, id="no-name"),
    ],
)
async def test_headers_that_do_not_fit_the_body_are_refused(
    world: World, token: str, headers: dict[str, str | None]
) -> None:
    answer = await send(world, token, "tools/call", {"name": "whoami", "arguments": {}}, headers)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == -32020


async def test_a_revision_that_differs_between_header_and_body_is_refused(world: World, token: str) -> None:
    answer = await send(
        world, token, "tools/list", meta={"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in {-32020, -32022}


async def test_an_unsupported_revision_is_refused_with_those_that_are(world: World, token: str) -> None:
    answer = await send(
        world,
        token,
        "tools/list",
        headers={"mcp-protocol-version": "2099-01-01"},
        meta={"io.modelcontextprotocol/protocolVersion": "2099-01-01"},
    )

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == -32022
    assert VERSION in error["data"]["supported"]


@pytest.mark.parametrize("name", ["protocolVersion", "clientCapabilities"])
async def test_a_missing_field_of_meta_is_refused(world: World, token: str, name: str) -> None:
    answer = await send(world, token, "tools/list", meta={f"io.modelcontextprotocol/{name}": None})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in {-32602, -32020}


@pytest.mark.parametrize("method", ["tools/unknown", "x", "ping", "logging/setLevel"])
async def test_an_unknown_method_is_not_found(world: World, token: str, method: str) -> None:
    answer = await send(world, token, method)

    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["code"] == -32601


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
async def test_only_post_is_a_request_of_this_revision(world: World, token: str, method: str) -> None:
    headers = {
        "authorization": f"Bearer {token}",
        "mcp-protocol-version": VERSION,
        "accept": "text/event-stream",
    }

    answer = await world.http.request(method, "/mcp", headers=headers)

    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("tool", ["unknown", "", "x" * 1000, "../whoami"])
async def test_an_unknown_tool_is_an_error_of_the_protocol_or_of_the_tool(
    world: World, token: str, tool: str
) -> None:
    answer = await send(world, token, "tools/call", {"name": tool, "arguments": {}})

    assert answer.status_code in {200, 400}
    body = answer.json()
    assert "error" in body or body["result"]["isError"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff",
        b"[" * 10_000,
        b'{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"1.0","id":1}',
    ],
    ids=repr,
)
async def test_a_body_that_is_no_request_is_refused(world: World, token: str, content: bytes) -> None:
    headers = {**mcp_headers(token, "whoami"), "content-type": "application/json"}

    answer = await world.http.post("/mcp", headers=headers, content=content)

    assert answer.status_code == 400, answer.text
    assert "error" in answer.json()


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_body_is_refused_and_the_server_goes_on(
    world: World, token: str, announced: bool
) -> None:
    async def chunks() -> Any:
        for _ in range(200):
            yield b"x" * 100_000

    content = b"x" * 20_000_000 if announced else chunks()
    headers = {**mcp_headers(token, "whoami"), "content-type": "application/json"}

    answer = await world.http.post("/mcp", headers=headers, content=content)

    assert answer.status_code == 413
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert (await world.call(token)).status_code == 200


# ---------------------------------------------------------------------------------------- other servers
async def test_another_server_can_be_protected(make_world: MakeWorld) -> None:
    world = await make_world(mcp_server="tests.test_mcp_endpoint:other_server")
    await world.create_user("alice")
    token = (await world.tokens(await world.register()))["access_token"]

    assert (await world.call(None, "greet")).status_code == 401
    answer = await world.call(token, "greet", greeting="Good day")
    assert answer.json()["result"]["content"][0]["text"] == "Good day, alice"


async def test_rsv_16_no_tool_can_see_the_token_of_the_caller(make_world: MakeWorld) -> None:
    world = await make_world(mcp_server="tests.test_mcp_endpoint:other_server")
    await world.create_user("alice")
    token = (await world.tokens(await world.register()))["access_token"]

    seen = json.dumps((await world.call(token, "spy")).json())

    assert "AccessToken" in seen
    assert token not in seen
    assert token.rpartition(".")[2] not in seen


@pytest.mark.parametrize(
    "path",
    ["tests.test_mcp_endpoint:missing", "tests.missing:mcp", "x", "tests.test_mcp_endpoint:not_a_server"],
)
async def test_a_name_that_leads_to_no_server_stops_the_start(make_world: MakeWorld, path: str) -> None:
    with pytest.raises(NotAServer, match="MCP_SERVER"):
        await make_world(mcp_server=path)
