"""The `mcp` Python SDK's own OAuth client, in the handshake era and in the stateless one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from interop.server import Server

REDIRECT = "http://127.0.0.1:33420/callback"


class SignInNeeded(Exception):
    """The client asks for a person, and nobody is there."""


class Application:
    """What an application brings: storage, and a way to show a page to the person."""

    def __init__(self, server: Server, client_metadata_url: str | None = None) -> None:
        self.server = server
        self.tokens: list[OAuthToken] = []
        self.client: OAuthClientInformationFull | None = None
        self.asked = 0
        self._callback = ""
        metadata = OAuthClientMetadata(
            client_name="Python SDK",
            redirect_uris=[AnyUrl(REDIRECT)],
            token_endpoint_auth_method="none",
        )
        self.auth = OAuthClientProvider(
            server.mcp, metadata, self, self.show, self.answer, client_metadata_url=client_metadata_url
        )

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens[-1] if self.tokens else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens.append(tokens)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info

    async def show(self, address: str) -> None:
        """The person answers the first time, and is away afterwards."""
        self.asked += 1
        if self.asked > 1:
            raise SignInNeeded
        self._callback = await anyio.to_thread.run_sync(self.server.person.authorize, address)

    async def answer(self) -> AuthorizationCodeResult:
        query = parse_qs(urlsplit(self._callback).query)
        return AuthorizationCodeResult(code=query["code"][0], state=query["state"][0], iss=query["iss"][0])

    def expire_access_token(self) -> None:
        """The client believes that it must refresh before its next request."""
        self.auth.context.token_expiry_time = time.time() - 1

    @asynccontextmanager
    async def connected(self, mode: str) -> AsyncIterator[Client]:
        async with (
            httpx2.AsyncClient(auth=self.auth, timeout=30) as http,
            Client(streamable_http_client(self.server.mcp, http_client=http), mode=mode) as client,
        ):
            yield client


async def _whole_life(server: Server, mode: str, revision: str) -> None:
    application = Application(server)
    async with application.connected(mode) as client:
        assert client.protocol_version == revision
        await _whoami(server, client)
        application.expire_access_token()
        await _whoami(server, client)
    first, second = application.tokens
    assert first.refresh_token != second.refresh_token
    assert application.asked == 1
    assert application.client is not None
    server.revoke_grant_of(application.client.client_id)
    server.refuses(second.access_token)
    application.expire_access_token()
    with pytest.RaisesGroup(SignInNeeded, flatten_subgroups=True, allow_unwrapped=True):
        async with application.connected(mode) as client:
            await client.call_tool("whoami", {})
    assert application.tokens == [first, second]


async def _whoami(server: Server, client: Client) -> None:
    result = await client.call_tool("whoami", {})
    assert not result.is_error
    server.speaks_for_the_person(result.model_dump(mode="json"))


@pytest.mark.parametrize(("mode", "revision"), [("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")])
def test_signs_in_calls_refreshes_and_is_refused_after_the_operator_revokes(
    server: Server, mode: str, revision: str
) -> None:
    anyio.run(_whole_life, server, mode, revision)
