"""`mcp-remote`, as a desktop application uses it: a stdio server that signs in by itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from interop.processes import free_port
from interop.server import Server
from interop.toolbox import Toolbox, browser_script

SECONDS = 120.0


class Desktop:
    """An application that starts `mcp-remote` and speaks the handshake era with it."""

    def __init__(self, server: Server, toolbox: Toolbox, home: Path) -> None:
        self.server = server
        home.mkdir()
        browser, self.visits = browser_script(home, server.person)
        self.store = home / "store"
        self.log = home / "log"
        node, proxy = toolbox.script("mcp-remote/dist/proxy.js")
        env = toolbox.environment(home, BROWSER=str(browser), MCP_REMOTE_CONFIG_DIR=str(self.store))
        options = ["--allow-http", "--transport", "http-only", "--auth-timeout", "60"]
        arguments = [str(proxy), server.mcp, str(free_port()), *options]
        self.command = StdioServerParameters(command=str(node), args=arguments, env=env)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        with self.log.open("a") as log, anyio.fail_after(SECONDS):
            async with Client(stdio_client(self.command, log), mode="legacy") as client:
                yield client

    async def whoami(self, client: Client) -> None:
        result = await client.call_tool("whoami", {})
        assert not result.is_error
        self.server.speaks_for_the_person(result.model_dump(mode="json"))

    def stored(self, name: str) -> tuple[Path, dict[str, Any]]:
        (path,) = self.store.glob(f"*/*_{name}")
        content: dict[str, Any] = json.loads(path.read_text())
        return path, content

    @property
    def tokens(self) -> dict[str, Any]:
        return self.stored("tokens.json")[1]

    def expire_access_token(self) -> None:
        path, tokens = self.stored("tokens.json")
        path.write_text(json.dumps(tokens | {"expires_at": 1, "access_token": "stale"}))

    @property
    def sign_ins(self) -> int:
        return len(self.visits.read_text().splitlines())


async def _whole_life(desktop: Desktop) -> None:
    async with desktop.connected() as client:
        await desktop.whoami(client)
        assert desktop.sign_ins == 1
        first = desktop.tokens
        desktop.expire_access_token()
        await desktop.whoami(client)
        second = desktop.tokens
        assert second["refresh_token"] != first["refresh_token"]
        assert desktop.sign_ins == 1
        desktop.server.revoke_grant_of(desktop.stored("client_info.json")[1]["client_id"])
        desktop.server.refuses(second["access_token"])
        await desktop.whoami(client)
        assert desktop.sign_ins == 2


def test_signs_in_calls_refreshes_and_signs_in_again_after_the_operator_revokes(
    server: Server, toolbox: Toolbox, home: Path
) -> None:
    desktop = Desktop(server, toolbox, home)
    try:
        anyio.run(_whole_life, desktop)
    finally:
        print(desktop.log.read_text())
