"""Signing in with another provider, step by step, as a browser does."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.support.openid_provider import OpenIDServer, running_provider
from tests.support.world import FakeClock, World, running_world
from tests.working_pages import form_to

BEGIN = "/login/upstream/example"
VERIFIED = {"sub": "ext-1", "email": "alice@example.com", "email_verified": True, "name": "Alice Elsewhere"}


@pytest.fixture
def provider() -> Iterator[OpenIDServer]:
    """Another provider; its clock is set to the world's."""
    with running_provider(FakeClock()) as server:
        yield server


def providers(*entries: dict[str, Any]) -> dict[str, Any]:
    """For the settings of a world."""
    return {"sign_in_providers": entries}


async def world_with(
    database_url: str, provider: OpenIDServer, *entries: dict[str, Any]
) -> AsyncIterator[World]:
    """A server whose people may sign in there; alice's address is confirmed, bob's is not."""
    async with running_world(database_url, **providers(*(entries or (provider.setting(),)))) as world:
        provider.clock = world.clock
        await world.create_user("alice")
        await world.create_user("bob")
        async with world.database.transaction() as tx:
            await tx.connection.exec_driver_sql(
                "UPDATE users SET email_verified_at = created_at WHERE username = 'alice'"
            )
        yield world


async def sent_to(browser: httpx2.AsyncClient, page: str = "/login", begin: str = BEGIN) -> str:
    """Press the provider's button; the address that the browser is sent to."""
    shown = await browser.get(page)
    form = form_to(shown.text, begin)
    answer = await browser.post(form.action, data=form.fields)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def come_back(browser: httpx2.AsyncClient, address: str) -> httpx2.Response:
    """Follow the provider's redirect."""
    parts = urlsplit(address)
    return await browser.get(f"{parts.path}?{parts.query}")


async def sign_in_there(
    world: World, provider: OpenIDServer, browser: httpx2.AsyncClient | None = None, **person: Any
) -> httpx2.Response:
    """The whole way; the answer of ours."""
    browser = browser or world.browser()
    back = provider.approve(await sent_to(browser), **(person or VERIFIED))
    return await come_back(browser, back)


async def who(world: World, browser: httpx2.AsyncClient) -> str | None:
    """The user name of who is signed in."""
    page = await browser.get("/login")
    if page.status_code == 303:
        activity = await browser.get("/account/sessions")
        rows = await world.rows("SELECT username FROM users")
        return next((row["username"] for row in rows if f">{row['username'].title()}<" in activity.text), "?")
    return None


async def refusals(world: World) -> list[str]:
    """Why sign-ins were refused."""
    rows = await world.rows(
        "SELECT reason FROM audit_events WHERE event = 'user.sign_in_refused' ORDER BY id"
    )
    return [row["reason"] for row in rows]
