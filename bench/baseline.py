"""What `/mcp` is compared with: the same tool on an `MCPServer` that asks nobody who they are."""

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import MCPServer, Resolve
from starlette.applications import Starlette


@dataclass(frozen=True, slots=True)
class User:
    """As many fields as Ostiary's user has."""

    id: str
    username: str | None
    name: str | None
    email: str | None


_CONSTANT = User("user_0", "alice", "Alice", "alice@example.com")


async def constant_user() -> User:
    """A dependency that costs what the SDK's machinery costs, and nothing more."""
    return _CONSTANT


async def hello(user: Annotated[User, Resolve(constant_user)], name: str | None = None) -> str:
    """Greet someone by name, or else the constant person."""
    return f"Hello, {name or user.name or 'World'}!"


def create_app() -> Starlette:
    """The unauthenticated server, with the collector frozen as Ostiary has it."""
    mcp = MCPServer("baseline", version="0", log_level="WARNING")
    mcp.tool(title="Say hello")(hello)
    app = mcp.streamable_http_app(stateless_http=os.environ["BENCH_SESSIONS"] != "true")
    run = app.router.lifespan_context

    @asynccontextmanager
    async def frozen(starlette: Starlette) -> AsyncIterator[None]:
        async with run(starlette):
            gc.freeze()
            yield

    app.router.lifespan_context = frozen
    return app


if __name__ == "__main__":
    uvicorn.run(
        "bench.baseline:create_app",
        factory=True,
        port=int(os.environ["PORT"]),
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
    )
