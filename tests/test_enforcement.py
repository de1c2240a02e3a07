"""The second lock, inside the MCP server: what a tool declares holds without the guard in front. RSV-9."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from starlette.types import ASGIApp, Receive, Scope, Send

from app.mcp_server.endpoint import session_manager
from app.resource_server import requirements
from app.resource_server.enforcement import ToolsList, enforce
from app.resource_server.identity import requires
from app.resource_server.principal import Principal, User
from app.resource_server.requirements import Requirements, declared
from app.resource_server.verifier import Caller
from tests import scoped_server
from tests.mcp_client import ACCEPT, message_of
from tests.support.world import mcp_call, mcp_headers


def principal(*scopes: str, implied: frozenset[str] = frozenset()) -> Principal:
    return Principal(
        user=User("user_1", "alice", None, None),
        client_id="client",
        client_name=None,
        scopes=frozenset(scopes),
        grant_id=None,
        token_id="at_1",
        issuer="https://issuer.example",
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        implied=implied,
    )


def let_in(endpoint: ASGIApp, caller: Principal | None) -> ASGIApp:
    """A guard that forgets to look at operations."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if caller is not None:
            scope["user"] = Caller(caller, "https://resource.example/mcp")
        await endpoint(scope, receive, send)

    return app


def make_server(tools_list: ToolsList = "all") -> tuple[MCPServer[Any], Requirements, list[str]]:
    """A server of its own with one open and one protected tool."""
    server, ran = MCPServer("alone", log_level="WARNING"), list[str]()

    @server.tool(description="")
    async def free() -> str:
        ran.append("free")
        return "free"

    @requires("notes:write")
    @server.tool(description="Write.", meta={"kept": True})
    async def write() -> str:
        ran.append("write")
        return "written"

    return server, enforce(server, tools_list), ran


async def ask(app: ASGIApp, call: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://alone") as http:
        return message_of(await http.post("/mcp", headers={"accept": ACCEPT, **headers}, json=call))


@pytest.mark.parametrize(
    ("caller", "runs"),
    [
        pytest.param(None, False, id="nobody"),
        pytest.param(principal("mcp"), False, id="without the scope"),
        pytest.param(principal("notes:write"), True, id="with it"),
        pytest.param(principal("x", implied=frozenset({"notes:write"})), True, id="with a broader one"),
    ],
)
@pytest.mark.parametrize("modern", [True, False])
async def test_rsv_9_behind_a_guard_that_reads_otherwise_the_tool_still_does_not_run(
    caller: Principal | None, runs: bool, modern: bool
) -> None:
    server, _, ran = make_server()
    manager = session_manager(server, sessions=False)
    headers = mcp_headers(None, "write") if modern else {}
    async with manager.run():
        answer = await ask(let_in(manager.asgi_app, caller), mcp_call("write", {}), headers)
    assert ran == (["write"] if runs else [])
    assert ("error" in answer) is not runs


async def test_without_a_door_nobody_may_use_what_needs_a_scope() -> None:
    server, _, ran = make_server()
    async with Client(server) as client:
        assert not (await client.call_tool("free", {})).is_error
        with pytest.raises(MCPError, match="does not allow"):
            await client.call_tool("write", {})
    assert ran == ["free"]


async def test_without_a_door_a_tool_that_asks_who_calls_is_told_nobody() -> None:
    async with Client(scoped_server.mcp) as client:
        result = await client.call_tool("may_write", {})
    assert result.is_error
    assert "signed-in caller" in str(result.content)


async def test_while_nothing_is_declared_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    server, _, ran = make_server("hide")
    monkeypatch.setattr(requirements, "_declarations", 0)
    async with Client(server) as client:
        assert len((await client.list_tools()).tools) == 2
    assert ran == []


async def test_a_tool_that_is_added_later_is_protected_at_once() -> None:
    server, needs, _ = make_server()

    @requires("notes:all")
    async def later() -> None: ...

    assert needs.of_tool("later") == frozenset()
    server.add_tool(later)
    assert needs.of("tools/call", {"name": "later"}) == {"notes:all"}
    server.remove_tool("later")
    assert needs.of_tool("later") == frozenset()


async def test_the_lock_is_put_in_once_however_often_a_server_is_started() -> None:
    server, _, _ = make_server()
    before = len(server.middleware)
    enforce(server)
    assert len(server.middleware) == before


@pytest.mark.parametrize("scopes", [(), ("",), ("a\\",), ("mcp", "offline_access")])
def test_a_declaration_that_names_no_scope_is_refused(scopes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"scope"):
        requires(*scopes)


def test_a_declaration_is_found_on_methods_and_through_wrappers() -> None:
    class Notes:
        def read(self, name: str) -> str:
            return name

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any) -> Any:
            return function(*arguments)

        return call

    read = requires("notes:read")(Notes().read)
    assert declared(read) == {"notes:read"}
    assert declared(partial(read, "x")) == {"notes:read"}
    assert declared(requires("people")(logged(read))) == {"notes:read", "people"}
    assert read("x") == "x"


# --------------------------------------------------------------------------------------------- the list of tools
async def listed(tools_list: ToolsList, caller: Principal | None, modern: bool) -> dict[str, Any]:
    server, _, _ = make_server(tools_list)
    manager = session_manager(server, sessions=False)
    call = {**mcp_call("x", {}), "method": "tools/list"}
    call["params"] = {"_meta": call["params"]["_meta"]}
    headers = {**mcp_headers(None, ""), "mcp-method": "tools/list"} if modern else {}
    headers.pop("mcp-name", None)
    async with manager.run():
        answer = await ask(let_in(manager.asgi_app, caller), call, headers)
    result: dict[str, Any] = answer["result"]
    return result


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("caller", [None, principal("mcp")], ids=["nobody", "without the scope"])
async def test_tools_can_be_listed_all_marked_or_hidden(caller: Principal | None, modern: bool) -> None:
    shown = {name: await listed(name, caller, modern) for name in ("all", "mark", "hide")}
    names = {name: [tool["name"] for tool in result["tools"]] for name, result in shown.items()}
    assert names == {"all": ["free", "write"], "mark": ["free", "write"], "hide": ["free"]}
    assert shown["all"]["tools"][0] == shown["mark"]["tools"][0] == shown["hide"]["tools"][0]
    marked = shown["mark"]["tools"][1]
    assert marked["_meta"] == {
        "kept": True,
        "securitySchemes": [{"type": "oauth2", "scopes": ["notes:write"]}],
        "ostiary/missingScopes": ["notes:write"],
    }
    assert marked["description"].startswith("Not allowed yet: needs notes:write")
    assert marked["description"].endswith("Write.")
    assert shown["all"]["tools"][1]["description"] == "Write."


@pytest.mark.parametrize("tools_list", ["mark", "hide"])
async def test_who_has_the_scope_sees_the_tool_as_it_is(tools_list: ToolsList) -> None:
    everything = await listed("all", None, True)
    assert (await listed(tools_list, principal("notes:write"), True))["tools"] == everything["tools"]


async def test_a_list_that_differs_from_caller_to_caller_is_private() -> None:
    """MCP 2026-07-28, Caching: a public result may be kept for others, even from an authenticated endpoint."""
    for tools_list, expected in (("all", "public"), ("mark", "private"), ("hide", "private")):
        server = MCPServer(
            "cached", log_level="WARNING", cache_hints={"tools/list": CacheHint(1000, "public")}
        )
        server.tool()(requires("notes:read")(_constant))
        enforce(server, tools_list)  # type: ignore[arg-type]
        async with Client(server, mode="2026-07-28") as client:
            result = await client.list_tools()
        assert (result.cache_scope, result.ttl_ms) == (expected, 1000)


async def _constant() -> str:
    return "x"
