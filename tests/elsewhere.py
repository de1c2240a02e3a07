"""A resource server in front of somebody's own MCP server, and the network between it and the authorization server."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import sqlalchemy as sa
from mcp.server.mcpserver import MCPServer
from starlette.types import ASGIApp, Message

from app.authorization_server.tables import clients
from app.resource_server.handles import CurrentHandles
from app.resource_server.identity import CurrentPrincipal, CurrentUser, requires
from app.resource_server.protect import Protected, protect
from tests.dpop_flow import challenges_of
from tests.support.world import World, mcp_call, mcp_headers, running_world

RESOURCE = "https://notes.example/mcp"
DOCUMENT = "/.well-known/oauth-protected-resource/mcp"
METADATA = "/.well-known/oauth-authorization-server"
KEYS = "/.well-known/jwks.json"
INTROSPECT = "/oauth/introspect"
# What an authorization server needs to know of a resource elsewhere.
SETTINGS: dict[str, Any] = {
    "scopes": [
        {"name": "notes:read", "sentence": "Read your notes", "on_demand": True},
        {"name": "notes:write", "sentence": "Write your notes", "implies": ["notes:read"], "on_demand": True},
    ],
    "resources": [{"url": RESOURCE, "name": "Notes"}],
}


class Wire(httpx2.AsyncBaseTransport):
    """Counts what goes over it, and can be cut or answer by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._far_end = httpx2.ASGITransport(app, client=("198.51.100.20", 40000))
        self.asked: Counter[str] = Counter()
        self.is_cut = False
        self.gate: asyncio.Event | None = None
        self.arrived = defaultdict[str, asyncio.Event](asyncio.Event)
        self.answers: dict[str, Callable[[], httpx2.Response]] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.asked[path] += 1
        self.arrived[path].set()
        if self.gate is not None:
            await self.gate.wait()
        if self.is_cut:
            raise httpx2.ConnectError("cut")
        if path in self.answers:
            return self.answers[path]()
        return await self._far_end.handle_async_request(request)


@dataclass
class Elsewhere:
    """The two servers, an app that people use, and what it asks of the second."""

    world: World
    wire: Wire
    app: dict[str, Any]
    guard: dict[str, Any]
    protected: Protected
    http: httpx2.AsyncClient

    async def token(self, **changes: str | None) -> str:
        """An access token of alice for this resource."""
        issued = await self.world.tokens(self.app, "alice", **{"resource": RESOURCE, **changes})
        return str(issued["access_token"])

    async def call(
        self, token: str | None, tool: str = "whoami", path: str = "/mcp", **arguments: Any
    ) -> httpx2.Response:
        """Call a tool as a 2026-07-28 client."""
        return await self.http.post(path, headers=mcp_headers(token, tool), json=mcp_call(tool, arguments))

    async def told(self, token: str, tool: str = "whoami", **arguments: Any) -> Any:
        """What a tool answers."""
        answer = await self.call(token, tool, **arguments)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return answer.json()["result"]["structuredContent"]


def notes_server() -> MCPServer[Any]:
    """Somebody's own MCP server."""
    mcp = MCPServer("notes", title="Notes", version="1", log_level="WARNING")

    @mcp.tool()
    async def whoami(user: CurrentUser, principal: CurrentPrincipal) -> dict[str, Any]:
        return {"id": user.id, "username": user.username, "scopes": sorted(principal.scopes)}

    @requires("notes:read")
    @mcp.tool()
    async def read_note() -> dict[str, str]:
        return {"note": "a note"}

    @mcp.tool()
    async def seal(handles: CurrentHandles, handle: str = "") -> dict[str, str]:
        return {"handle": handles.unseal(handle) if handle else handles.seal("draft 7")}

    return mcp


async def introspecting_client(world: World, *resources: str) -> dict[str, Any]:
    """A client that the operator lets look at tokens for these resources."""
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    async with world.database.transaction() as tx:
        same = clients.c.client_id == client["client_id"]
        await tx.execute(sa.update(clients).where(same).values(introspects=list(resources)))
    return client


def protected_by(
    world: World, guard: Mapping[str, Any], wire: Wire, app: MCPServer[Any] | ASGIApp, **changes: Any
) -> Protected:
    """This server behind the door, over this wire."""
    arguments: dict[str, Any] = {
        "issuer": world.settings.public_url,
        "resource": RESOURCE,
        "client_id": guard["client_id"],
        "client_secret": guard["client_secret"],
        "http": httpx2.AsyncClient(transport=wire),
        "clock": world.clock,
        **changes,
    }
    return protect(app, **arguments)


@dataclass
class Home:
    """The authorization server, with alice, an app that people use, and a client that may introspect."""

    world: World
    app: dict[str, Any]
    guard: dict[str, Any]

    @asynccontextmanager
    async def elsewhere(
        self, app: MCPServer[Any] | ASGIApp | None = None, **changes: Any
    ) -> AsyncIterator[Elsewhere]:
        """A second server that knows nothing yet."""
        wire, policy = Wire(self.world.app), self.world.services.policy
        catalogue = [scope for scope in policy.catalogue if scope.name.startswith("notes")]
        changes = {"scopes": ["mcp", "profile", "email", *catalogue], **changes}
        protected = protected_by(self.world, self.guard, wire, app or notes_server(), **changes)
        async with lifespan_of(protected):
            transport = httpx2.ASGITransport(protected, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="https://notes.example") as http:
                yield Elsewhere(self.world, wire, self.app, self.guard, protected, http)


@asynccontextmanager
async def running_home(database_url: str) -> AsyncIterator[Home]:
    """The authorization server, running."""
    async with running_world(database_url, **SETTINGS) as world:
        await world.create_user("alice")
        guard = await introspecting_client(world, RESOURCE)
        yield Home(world, await world.register(), guard)


@asynccontextmanager
async def lifespan_of(app: ASGIApp) -> AsyncIterator[None]:
    """What an ASGI server does around the requests."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    running: Coroutine[Any, Any, None] = app({"type": "lifespan", "state": {}}, told.get, heard.put)  # type: ignore[assignment]
    task = asyncio.create_task(running)
    await told.put({"type": "lifespan.startup"})
    assert (await heard.get())["type"] == "lifespan.startup.complete"
    yield
    await told.put({"type": "lifespan.shutdown"})
    assert (await heard.get())["type"] == "lifespan.shutdown.complete"
    await task


def assert_refused(answer: httpx2.Response, description: str = "") -> None:
    """401 `invalid_token`, with the way to a new token."""
    assert answer.status_code == 401, f"{answer.status_code} {answer.text}"
    challenge = challenges_of(answer)["Bearer"]
    assert challenge["error"] == "invalid_token"
    assert challenge["resource_metadata"] == f"https://notes.example{DOCUMENT}"
    assert description in challenge["error_description"]


def assert_unavailable(answer: httpx2.Response) -> None:
    """503, never 200, and when to come again."""
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
