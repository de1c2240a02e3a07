"""What single tools need beyond the resource (RFC 6750 §3.1, MCP authorization, Scope Challenge Handling)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests import scoped_server
from tests.mcp_client import ACCEPT, LegacyClient, message_of
from tests.support.world import World, mcp_call, mcp_headers, running_world
from tests.test_resource_server import MakeWorld, challenge_of

pytest_plugins = ["tests.standing"]

SETTINGS: dict[str, Any] = {"mcp_server": scoped_server.PATH, "scopes": scoped_server.SCOPES}
METADATA = "http://localhost:8000/.well-known/oauth-protected-resource/mcp"


class Scoped:
    """A server whose tools need scopes, and one token of alice for each set of scopes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._tokens: dict[tuple[str, str], str] = {}

    async def token(self, scope: str, username: str = "alice") -> str:
        """Every set of scopes is asked for by a client of its own."""
        if (scope, username) not in self._tokens:
            issued = await self.world.tokens(await self.world.register(), username, scope=scope)
            assert set(issued["scope"].split()) == set(scope.split())
            self._tokens[scope, username] = issued["access_token"]
        return self._tokens[scope, username]

    async def call(self, scope: str, tool: str, **arguments: Any) -> httpx2.Response:
        """Call a tool with a token of these scopes."""
        return await self.world.call(await self.token(scope), tool, **arguments)

    async def post(self, scope: str, body: Any, **headers: str | None) -> httpx2.Response:
        """Send this as it is, with changed headers; None leaves one out."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: dict[str, str | None] = {
            "authorization": f"Bearer {await self.token(scope)}",
            "accept": ACCEPT,
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        kept = {name: value for name, value in sent.items() if value is not None}
        return await self.world.http.post("/mcp", headers=kept, content=content)


@pytest.fixture(scope="module")
async def scoped(standing_url: str) -> AsyncIterator[Scoped]:
    async with running_world(standing_url, **SETTINGS, mcp_sessions=False) as world:
        await world.create_user("alice")
        await world.create_user("root", is_admin=True)
        yield Scoped(world)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    scoped_server.ran.clear()


def assert_insufficient(answer: httpx2.Response, scope: str) -> None:
    """RSV-9: everything that the operation needs, where to ask for it, and nothing was run."""
    assert answer.status_code == 403, answer.text
    challenge = challenge_of(answer)
    assert challenge["error"] == answer.json()["error"] == "insufficient_scope"
    assert challenge["scope"] == scope
    assert challenge["resource_metadata"] == METADATA
    assert answer.headers["cache-control"] == "no-store"
    assert scoped_server.ran == []


TOOLS = [
    pytest.param("read_note", "mcp notes:read", id="RSV-9 declared below"),
    pytest.param("write_note", "mcp notes:write", id="RSV-9 declared above"),
    pytest.param("räume", "mcp notes:write people", id="RSV-9 two scopes"),
]


@pytest.mark.parametrize(("tool", "needed"), TOOLS)
async def test_rsv_9_a_call_without_the_tools_scope_is_refused_with_all_that_it_needs(
    scoped: Scoped, tool: str, needed: str
) -> None:
    refused_before = await refusals(scoped)
    headers = mcp_headers(None, "=?base64?csOkdW1l?=" if tool == "räume" else tool)
    answer = await scoped.post("mcp offline_access", mcp_call(tool, {}), **headers)
    assert_insufficient(answer, needed)
    assert await refusals(scoped) == refused_before + 1


async def refusals(scoped: Scoped) -> float:
    """How often the endpoint refused for lack of a scope."""
    lines = (await scoped.world.http.get("/metrics")).text.splitlines()
    counted = [line for line in lines if 'endpoint="/mcp"' in line and 'error="insufficient_scope"' in line]
    return float(counted[0].rpartition(" ")[2]) if counted else 0.0


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
@pytest.mark.parametrize(("tool", "needed"), TOOLS)
async def test_rsv_9_older_clients_send_no_name_in_a_header_and_are_refused_too(
    scoped: Scoped, tool: str, needed: str, version: str
) -> None:
    client = LegacyClient(scoped.world, await scoped.token("mcp"), version)
    await client.initialize()
    assert_insufficient(await client.tool(tool), needed)


async def test_rsv_9_within_a_session_the_scopes_of_this_request_count(make_world: MakeWorld) -> None:
    world = await make_world(**SETTINGS, mcp_sessions=True)
    await world.create_user("alice")
    registered = await world.register()
    narrow = (await world.tokens(registered, scope="mcp"))["access_token"]
    wide = (await world.tokens(registered, scope="mcp notes:read"))["access_token"]
    client = LegacyClient(world, narrow, "2025-11-25")
    await client.initialize()
    assert client.session is not None
    assert_insufficient(await client.tool("read_note"), "mcp notes:read")
    client.access_token = wide
    assert "a note" in (await client.tool("read_note")).text
    scoped_server.ran.clear()
    client.access_token = narrow
    assert_insufficient(await client.tool("read_note"), "mcp notes:read")


@pytest.mark.parametrize(
    ("scope", "tool"),
    [
        pytest.param("mcp", "hello", id="RSV-10 nothing needed"),
        pytest.param("mcp notes:read", "read_note", id="RSV-10 the scope itself"),
        pytest.param("mcp notes:write", "read_note", id="RSV-10 one step above"),
        pytest.param("mcp notes:all", "read_note", id="RSV-10 two steps above"),
        pytest.param("mcp notes:all", "write_note", id="RSV-10 one step above another"),
    ],
)
async def test_a_scope_or_a_broader_one_opens_the_tool(scoped: Scoped, scope: str, tool: str) -> None:
    answer = await scoped.call(scope, tool)
    assert answer.status_code == 200, answer.text
    assert not answer.json()["result"].get("isError")
    assert scoped_server.ran == [tool]


async def test_rsv_10_a_narrower_scope_does_not_open_what_a_broader_one_does(scoped: Scoped) -> None:
    assert_insufficient(await scoped.call("mcp notes:read", "write_note"), "mcp notes:write")


@pytest.mark.parametrize(
    ("scope", "answers"),
    [("mcp", [False, False, True]), ("mcp notes:all", [True, False, True])],
)
async def test_a_tool_can_ask_by_itself(scoped: Scoped, scope: str, answers: list[bool]) -> None:
    result = (await scoped.call(scope, "may_write")).json()["result"]
    assert result["structuredContent"] == {"result": answers}


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("all", {"hello", "may_write", "read_note", "write_note", "räume"}),
        ("mark", {"hello", "may_write", "read_note", "write_note", "räume"}),
        ("hide", {"hello", "may_write", "read_note"}),
    ],
)
async def test_the_list_of_tools_follows_the_setting(
    make_world: MakeWorld, setting: str, names: set[str]
) -> None:
    world = await make_world(**SETTINGS, tools_list=setting, mcp_sessions=False)
    await world.create_user("alice")
    client = LegacyClient(
        world,
        (await world.tokens(await world.register(), scope="mcp notes:read"))["access_token"],
        "2025-11-25",
    )
    tools = {tool["name"]: tool for tool in message_of(await client.send("tools/list"))["result"]["tools"]}
    assert set(tools) == names
    if setting == "mark":
        assert tools["räume"]["_meta"]["ostiary/missingScopes"] == ["notes:write", "people"]
        assert "_meta" not in tools["read_note"]
    assert_insufficient(await client.tool("write_note"), "mcp notes:write")


# ------------------------------------------------------------------------------------- prompts and resources
@pytest.mark.parametrize(
    ("method", "params", "needed"),
    [
        pytest.param("prompts/get", {"name": "summarise"}, "mcp notes:read", id="prompt"),
        pytest.param("resources/read", {"uri": "notes://all"}, "mcp notes:read", id="resource"),
        pytest.param("resources/read", {"uri": "notes://7"}, "mcp notes:read notes:write", id="template"),
        pytest.param(
            "completion/complete",
            {
                "ref": {"type": "ref/prompt", "name": "summarise"},
                "argument": {"name": "topic", "value": "x"},
            },
            "mcp notes:read",
            id="completion of a prompt",
        ),
        pytest.param(
            "completion/complete",
            {
                "ref": {"type": "ref/resource", "uri": "notes://{number}"},
                "argument": {"name": "number", "value": "7"},
            },
            "mcp notes:read notes:write",
            id="completion of a template",
        ),
        pytest.param(
            "completion/complete",
            {
                "ref": {"type": "ref/resource", "uri": "found://notes{?words}"},
                "argument": {"name": "words", "value": "x"},
            },
            "mcp notes:read notes:write",
            id="completion of a template that is no URI of its own",
        ),
    ],
)
async def test_prompts_and_resources_need_what_they_declare(
    scoped: Scoped, method: str, params: dict[str, Any], needed: str
) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    assert_insufficient(await scoped.post("mcp", body), needed)
    allowed = await scoped.post("mcp notes:write", body)
    assert allowed.status_code == 200
    assert "error" not in message_of(allowed)
    assert scoped_server.ran


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "there is none"}),
        ("tools/call", {"name": ["read_note"]}),
        ("tools/call", {"name": None}),
        ("tools/call", {}),
        ("tools/call", ["read_note"]),
        ("prompts/get", {"name": "there is none"}),
        ("resources/read", {"uri": "other://all"}),
        ("resources/read", {"uri": 7}),
        ("completion/complete", {"ref": "read_note"}),
        ("tools/list", {}),
        ("read_note", {"name": "read_note"}),
    ],
    ids=repr,
)
async def test_what_needs_nothing_is_left_to_the_server(scoped: Scoped, method: str, params: Any) -> None:
    answer = await scoped.post("mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    assert answer.status_code in {200, 400}
    assert scoped_server.ran == []
