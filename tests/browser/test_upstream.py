"""Another provider in a real browser: the way there and back under the pages' policy, and how its buttons look."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from app.clock import SystemClock
from tests.browser.conftest import Apps, Visit
from tests.browser.test_pages import LOOKS, check_page
from tests.browser.visitor import Site, Visitor
from tests.front_channel import answer_to
from tests.support.openid_provider import OpenIDServer, running_provider
from tests.support.process import running_server, settings_on

pytestmark = pytest.mark.browser
NORA = {"sub": "7", "email": "nora@example.com", "email_verified": True, "name": "Nora Elsewhere"}


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIDServer]:
    """It lets nora in without a question."""
    with running_provider(SystemClock()) as server:
        server.person = NORA
        yield server


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, chromium_path: Path, provider: OpenIDServer
) -> Iterator[Site]:
    """A server where people may sign in with it, or with another that has a long name."""
    folder = tmp_path_factory.mktemp("upstream")
    entries = [
        provider.setting(sign_up=True),
        provider.setting(id="another", name="A Company With Rather a Long Name Ltd."[:40]),
    ]
    settings = settings_on(f"sqlite+aiosqlite:///{folder}/site.db")
    with running_server(folder, {**settings, "SIGN_IN_PROVIDERS": json.dumps(entries)}) as process:
        yield Site(process)


async def sign_in_there(visitor: Visitor) -> None:
    """Press the button on the page for signing in."""
    await visitor.page.click("text=Sign in with Example")


async def test_the_way_there_and_back_goes_on_with_the_app(visit: Visit, site: Site, apps: Apps) -> None:
    redirect_uri = f"http://127.0.0.1:{apps.local.port}/callback"
    visitor = await visit()
    await visitor.page.goto(site.authorization(await site.client(redirect_uri)))
    await sign_in_there(visitor)
    await expect(visitor.page.locator("button[name=decision]")).to_have_count(2)
    await visitor.page.click("button[value=approve]")
    await visitor.page.wait_for_url(f"{redirect_uri}?*")
    assert "code" in answer_to(visitor.page.url, redirect_uri)


async def test_an_account_is_connected_from_the_page_about_signing_in(
    visit: Visit, site: Site, provider: OpenIDServer
) -> None:
    visitor = await visit()
    await visitor.signed_in()
    provider.person = {"sub": "8"}
    await visitor.page.goto(f"{site.url}/account/security")
    await visitor.page.click("text=Connect A Company")
    await expect(visitor.page.locator("main")).to_contain_text(
        ["connected to somebody else", "is connected"][1]
    )


@pytest.mark.parametrize("look", LOOKS)
async def test_signing_in_with_providers(visit: Visit, site: Site, look: dict[str, Any]) -> None:
    visitor = await visit(**look)
    await visitor.page.goto(f"{site.url}/login")
    await check_page(visitor, "sign_in_with_providers", look)


@pytest.mark.parametrize("look", LOOKS)
async def test_the_accounts_elsewhere(visit: Visit, site: Site, look: dict[str, Any]) -> None:
    visitor = await visit(**look)
    await visitor.page.goto(f"{site.url}/login")
    await sign_in_there(visitor)
    await visitor.page.wait_for_url(f"{site.url}/")
    visitor.requested.clear()
    await visitor.page.goto(f"{site.url}/account/security")
    await check_page(visitor, "accounts_elsewhere", look)


async def test_a_provider_that_says_no_leaves_the_sign_in_page(
    visit: Visit, site: Site, provider: OpenIDServer
) -> None:
    visitor = await visit(viewport={"width": 390, "height": 844})
    provider.answer = {"code": None, "error": "access_denied"}
    await visitor.page.goto(f"{site.url}/login")
    await sign_in_there(visitor)
    provider.answer = {}
    await expect(visitor.page.locator("[role=alert]").first).to_contain_text("did not agree")
    assert await visitor.page.locator("input[name=password]").count() == 1
