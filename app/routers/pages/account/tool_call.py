"""A call of the protected server from its own page: by the MCP SDK's client, through the guard, without a network."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.types import ASGIApp

_REVISION = "2026-07-28"
_PATIENCE = 30  # seconds
_SHOWN = 100_000  # characters of a message


class NotAnswered(Exception):
    """There is no result: the guard refused, or the server made a mistake; one sentence for the person."""


@dataclass
class Wire:
    """What went over the wire, to be shown: the request's and the answer's body, and the answer's status."""

    request: str = ""
    answer: str = ""
    status: int = 0
    challenge: str | None = None

    async def answered(self, response: httpx2.Response) -> None:
        """Keep a call and its answer. The `Authorization` header is not shown to anybody."""
        await response.aread()
        self.status, self.challenge = response.status_code, response.headers.get("www-authenticate")
        if response.request.headers.get("mcp-method") == "tools/call":
            self.request, self.answer = _pretty(response.request.content), _pretty(response.content)


@dataclass
class Caller:
    """Calls one protected endpoint of this process as a client that holds this access token."""

    app: ASGIApp
    url: str
    access_token: str
    source: str
    wire: Wire = field(default_factory=Wire)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """A client of the server, in the newest revision.

        Raises:
            NotAnswered: on leaving, for whatever the server refused or broke on.
        """
        transport = httpx2.ASGITransport(self.app, client=(self.source, 0))
        hooks: dict[str, list[Callable[..., Any]]] = {"response": [self.wire.answered]}
        headers = {"Authorization": f"Bearer {self.access_token}"}
        try:
            async with httpx2.AsyncClient(transport=transport, headers=headers, event_hooks=hooks) as http:
                connection = streamable_http_client(self.url, http_client=http)
                async with Client(connection, mode=_REVISION, read_timeout_seconds=_PATIENCE) as client:
                    yield client
        except* (MCPError, httpx2.HTTPError) as errors:
            raise NotAnswered(self._what(errors)) from None

    def _what(self, errors: BaseException) -> str:
        if self.wire.status in {401, 403}:
            return f"The server refused this call with {self.wire.status}: {self.wire.challenge}"
        return f"The server did not do it: {_first(errors)}"


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _pretty(body: bytes) -> str:
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        text = body.decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}\n… and {len(text) - _SHOWN:,} characters more"
