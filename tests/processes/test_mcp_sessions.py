"""Sessions of older revisions of MCP live in one process; a client that meets another one begins anew."""

from pathlib import Path
from typing import Any

import httpx2

from tests.processes import flow
from tests.support.process import ServerProcess, running_pair

VERSION = "2025-06-18"


class OldClient:
    """One of 2025-06-18, which may be led to another replica at each request."""

    def __init__(self, http: httpx2.AsyncClient, access_token: str) -> None:
        self._http = http
        self._headers = {
            "authorization": f"Bearer {access_token}",
            "accept": "application/json, text/event-stream",
        }
        self.session: str | None = None

    async def send(self, at: ServerProcess, method: str, **parameters: Any) -> httpx2.Response:
        """Send a request in the session that it has."""
        headers = dict(self._headers)
        if self.session is not None:
            headers |= {"mcp-session-id": self.session, "mcp-protocol-version": VERSION}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        return await self._http.post(f"{at.url}/mcp", headers=headers, json=body)

    async def initialize(self, at: ServerProcess) -> None:
        """Begin a session, or anew."""
        self.session = None
        client = {"name": "old", "version": "1"}
        answer = await self.send(
            at, "initialize", protocolVersion=VERSION, capabilities={}, clientInfo=client
        )
        assert answer.status_code == 200, answer.text
        self.session = answer.headers.get("mcp-session-id")

    async def whoami(self, at: ServerProcess) -> httpx2.Response:
        """Call the tool."""
        return await self.send(at, "tools/call", name="whoami", arguments={})


async def _connected(http: httpx2.AsyncClient, pair: tuple[ServerProcess, ServerProcess]) -> OldClient:
    async with flow.new_browser() as browser:
        assert (await flow.sign_in(browser, pair[0])).status_code == 303
        tokens = await flow.tokens_of(http, browser, pair[0], await flow.register(http, pair[0]))
    return OldClient(http, tokens["access_token"])


async def test_without_sessions_any_replica_answers_any_request(
    untouched_database: str, folder: Path, http: httpx2.AsyncClient
) -> None:
    with running_pair(folder, untouched_database) as pair:
        client = await _connected(http, pair)
        await client.initialize(pair[0])
        assert client.session is None, "replicas do without sessions unless told otherwise"
        for number in range(6):
            assert (await client.whoami(pair[number % 2])).status_code == 200


async def test_with_sessions_another_replica_says_that_there_is_none_and_the_client_begins_anew(
    untouched_database: str, folder: Path, http: httpx2.AsyncClient
) -> None:
    with running_pair(folder, untouched_database, MCP_SESSIONS="true") as pair:
        client = await _connected(http, pair)
        await client.initialize(pair[0])
        assert client.session is not None
        assert (await client.whoami(pair[0])).status_code == 200

        # 404 is what tells a client to begin anew (MCP 2025-06-18, transports, session management).
        lost = await client.whoami(pair[1])
        assert lost.status_code == 404, lost.text
        assert lost.json()["error"]["message"]
        await client.initialize(pair[1])
        assert (await client.whoami(pair[1])).status_code == 200

        pair[1].kill()
        lost = await client.whoami(pair[0])
        assert lost.status_code == 404, lost.text
        await client.initialize(pair[0])
        assert (await client.whoami(pair[0])).status_code == 200
