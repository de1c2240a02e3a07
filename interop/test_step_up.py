"""The `mcp` Python SDK's own OAuth client, when a tool needs more than was asked for at first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import pytest
from mcp.shared.exceptions import MCPError

from interop.server import Server, running_server
from interop.test_python_sdk import Application
from tests import scoped_server


class Patient(Application):
    """Someone who answers as often as they are asked; what they were asked for is kept."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.scopes: list[set[str]] = []

    async def show(self, address: str) -> None:
        self.scopes.append(set(parse_qs(urlsplit(address).query)["scope"][0].split()))
        self._callback = await anyio.to_thread.run_sync(self.server.person.authorize, address)


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose tools need scopes."""
    folder: Path = tmp_path_factory.mktemp("scoped")
    settings = {
        "MCP_SERVER": scoped_server.PATH,
        "SCOPES": json.dumps(scoped_server.SCOPES),
        "MCP_SESSIONS": "true",
    }
    with running_server(
        folder, "sqlite", f"sqlite+aiosqlite:///{folder / 'ostiary.db'}", **settings
    ) as server:
        yield server


async def _step_up(server: Server, mode: str) -> None:
    application = Patient(server)
    async with application.connected(mode) as client:
        assert not (await client.call_tool("hello", {})).is_error
        assert len(application.scopes) == 1
        assert not (await client.call_tool("write_note", {"text": "it"})).is_error
        for tool in ("read_note", "hello", "write_note"):
            assert not (await client.call_tool(tool, {})).is_error
        application.expire_access_token()
        assert not (await client.call_tool("write_note", {})).is_error
    first, second = application.scopes
    assert second == first | {"notes:write"}
    assert application.client is not None
    assert "notes:write" not in str(application.client.scope)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_rsv_9_steps_up_once_and_is_asked_no_more(scoped: Server, mode: str) -> None:
    anyio.run(_step_up, scoped, mode)


async def _refused(server: Server) -> None:
    application = Patient(server)
    async with application.connected("2026-07-28") as client:
        assert not (await client.call_tool("hello", {})).is_error
        with pytest.raises(MCPError):
            await client.call_tool("räume", {})
        assert len(application.scopes) == 2
        assert not (await client.call_tool("write_note", {})).is_error
        assert len(application.scopes) == 2


def test_auz_26_a_tool_for_admins_stays_shut_without_asking_in_circles(scoped: Server) -> None:
    anyio.run(_refused, scoped)
