"""Speaking the older revisions of MCP, the ones with a handshake, and reading either kind of answer."""

import json
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support.world import World

ACCEPT = "application/json, text/event-stream"


def message_of(answer: httpx2.Response) -> dict[str, Any]:
    """The one JSON-RPC message of an answer, as JSON or as the last event of a stream."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        data = [line.removeprefix("data:") for line in answer.text.splitlines() if line.startswith("data:")]
        message: dict[str, Any] = json.loads([text for text in data if text.strip()][-1])
        return message
    body: dict[str, Any] = answer.json()
    return body


@dataclass
class LegacyClient:
    """One client of a revision with a handshake."""

    world: World
    access_token: str
    version: str
    session: str | None = None

    def headers(self, **more: str) -> dict[str, str]:
        """What such a client sends with every request."""
        headers = {"accept": ACCEPT, "authorization": f"Bearer {self.access_token}", **more}
        if self.session is not None:
            headers["mcp-session-id"] = self.session
        return headers

    async def send(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> httpx2.Response:
        """Send a request."""
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}, **more}
        headers = self.headers()
        if method != "initialize" and self.version >= "2025-06-18":
            headers["mcp-protocol-version"] = self.version
        return await self.world.http.post("/mcp", headers=headers, json=body)

    async def notify(self, method: str) -> httpx2.Response:
        """Send a notification."""
        return await self.world.http.post(
            "/mcp", headers=self.headers(), json={"jsonrpc": "2.0", "method": method}
        )

    async def initialize(self) -> dict[str, Any]:
        """Shake hands; the result of `initialize`."""
        params = {
            "protocolVersion": self.version,
            "capabilities": {},
            "clientInfo": {"name": "tests", "version": "1"},
        }
        answer = await self.send("initialize", params)
        assert answer.status_code == 200, answer.text
        self.session = answer.headers.get("mcp-session-id")
        assert (await self.notify("notifications/initialized")).status_code == 202
        result: dict[str, Any] = message_of(answer)["result"]
        return result

    async def tool(self, tool: str, **arguments: Any) -> httpx2.Response:
        """Call a tool."""
        return await self.send("tools/call", {"name": tool, "arguments": arguments})
