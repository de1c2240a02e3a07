"""The README's own server, in a process of its own: a client signs in through discovery there, and calls its tool."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest

from interop.processes import free_port
from interop.server import Server, running_server
from interop.test_python_sdk import Application
from tests.support.notes import create_client, resources, running_notes
from tests.support.world import mcp_call, mcp_headers

# What the second server believes of the first: five seconds, and the time of a call.
SECONDS = 7.0


class Elsewhere(Server):
    """A server of which the client knows the address of the second resource only."""

    @property
    def mcp(self) -> str:
        return str(json.loads(self.env["RESOURCES"])[0]["url"])


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Both processes."""
    folder: Path = tmp_path_factory.mktemp("elsewhere")
    resource = f"http://localhost:{free_port()}/mcp"
    database_url = f"sqlite+aiosqlite:///{folder / 'ostiary.db'}"
    with running_server(folder, "sqlite", database_url, RESOURCES=resources(resource)) as server:
        client = json.loads(server.command(*create_client(resource)))
        with running_notes(folder, server.url, resource, client):
            yield Elsewhere(**{name: getattr(server, name) for name in server.__dataclass_fields__})


async def _sign_in(server: Server, mode: str) -> None:
    application = Application(server)
    async with application.connected(mode) as client:
        for _ in range(2):
            result = await client.call_tool("greet", {})
            assert server.person.username in result.model_dump_json()
        application.expire_access_token()
        assert not (await client.call_tool("greet", {})).is_error
    token = application.tokens[-1].access_token
    assert _greet(server, token) == 200
    at_home = httpx2.post(f"{server.url}/mcp", headers=mcp_headers(token, "whoami"))
    assert at_home.status_code == 401
    assert application.client is not None
    server.revoke_grant_of(str(application.client.client_id))
    revoked = time.monotonic()
    while _greet(server, token) != 401:
        assert time.monotonic() < revoked + SECONDS


def _greet(server: Server, token: str) -> int:
    answer = httpx2.post(server.mcp, headers=mcp_headers(token, "greet"), json=mcp_call("greet", {}))
    assert answer.status_code in {200, 401}, answer.text
    return answer.status_code


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_client_finds_the_way_calls_and_is_refused_within_seconds_of_the_revocation(
    elsewhere: Server, mode: str
) -> None:
    anyio.run(_sign_in, elsewhere, mode)
