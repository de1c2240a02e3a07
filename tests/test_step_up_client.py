"""An app that needs more, as a real client goes about it. RSV-9."""

import html
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

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

from tests import scoped_server
from tests.support.world import World, answer_of
from tests.test_step_up import lists_of
from tests.test_tool_scopes import SETTINGS, nothing_ran

__all__ = ["nothing_ran"]


@pytest.fixture
async def scoped(make_world: Callable[..., Any]) -> World:
    """Alice, and root who is an admin."""
    world: World = await make_world(**SETTINGS)
    await world.create_user("alice")
    await world.create_user("root", is_admin=True)
    return world


# -------------------------------------------------------------------------------------------------- a real client
class Application:
    """A program with the SDK's own OAuth client; whoever sits in front of it is alice."""

    def __init__(self, world: World, browser: httpx2.AsyncClient) -> None:
        self.world, self.browser = world, browser
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        self.pages: list[str] = []
        self.asked: list[str] = []
        self._answer = ""
        metadata = OAuthClientMetadata(
            client_name="Python SDK",
            redirect_uris=[AnyUrl("http://127.0.0.1:33420/callback")],
            token_endpoint_auth_method="none",
        )
        self.auth = OAuthClientProvider(world.settings.resource, metadata, self, self.show, self.answer)

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info

    async def show(self, address: str) -> None:
        """The browser opens; alice reads the page and allows it."""
        self.asked.append(parse_qs(urlsplit(address).query)["scope"][0])
        parked = await self.browser.get(address)
        self.pages.append((await self.browser.get(parked.headers["location"])).text)
        self._answer = (await self.world.decide(self.browser, parked.headers["location"])).headers["location"]

    async def answer(self) -> AuthorizationCodeResult:
        answer = answer_of(self._answer)
        return AuthorizationCodeResult(code=answer["code"], state=answer["state"], iss=answer["iss"])


@pytest.fixture
async def application(scoped: World) -> Application:
    return Application(scoped, await scoped.signed_in_browser())


async def test_rsv_9_a_real_client_steps_up_once_and_goes_on(application: Application, scoped: World) -> None:
    transport = httpx2.ASGITransport(scoped.app)
    async with (
        httpx2.AsyncClient(transport=transport, auth=application.auth) as http,
        Client(
            streamable_http_client(scoped.settings.resource, http_client=http), mode="2026-07-28"
        ) as client,
    ):
        assert not (await client.call_tool("hello", {})).is_error
        assert len(application.pages) == 1
        assert "notes:write" not in application.asked[0]
        written = await client.call_tool("write_note", {"text": "it"})
        assert not written.is_error
        assert not (await client.call_tool("read_note", {})).is_error
        assert not (await client.call_tool("hello", {})).is_error
    assert len(application.pages) == 2
    assert scoped_server.ran == ["hello", "write_note", "read_note", "hello"]
    question = lists_of(application.pages[1])
    assert question["New: it will also be able to"] == ["Write your notes opens read_note write_note"]
    assert "Know who you are" in str(question["As you allowed before"])
    assert application.client is not None
    assert "notes:write" not in str(application.client.scope)
    assert application.tokens is not None
    assert "offline_access" not in html.unescape(str(question))
    assert set(application.asked[1].split()) >= {*application.asked[0].split(), "notes:write"}
