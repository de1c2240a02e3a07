"""Passkeys in real Chromium, with its virtual authenticator: made, and good alone, after a password, and not at all."""

import itertools
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import expect
from pyotp import TOTP

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Apps, Visit
from tests.browser.test_callbacks import arrive
from tests.browser.test_pages import picture
from tests.browser.visitor import Site, Visitor
from tests.support.process import running_server, settings_on
from tests.support.world import PASSWORD

pytestmark = pytest.mark.browser

_numbers = itertools.count()
PASSKEY_BUTTON = "form[data-passkey] button[type=submit]"
# The virtual authenticator agrees at once to everything, also to what a browser only suggests beside the name's field.
NO_SUGGESTIONS = "PublicKeyCredential.isConditionalMediationAvailable = undefined"


async def somebody(visitor: Visitor, path: str = "/account/security") -> str:
    """Sign in as somebody new with a password, and go on to this page."""
    username = f"pat-{next(_numbers)}"
    await visitor.site.person(username)
    await visitor.page.goto(f"{visitor.site.url}/login?next={path}")
    await visitor.sign_in(PASSWORD, username)
    return username


async def make_passkey(visitor: Visitor, name: str = "This computer") -> None:
    """Make a passkey as whoever is signed in, by pressing what a person presses."""
    await visitor.page.goto(f"{visitor.site.url}/account/security")
    await visitor.page.click("text=Add a passkey")
    await visitor.page.fill("input[name=name]", name)
    await visitor.page.click(PASSKEY_BUTTON)
    await expect(visitor.page.locator("h1")).to_have_text("Your recovery codes")
    await visitor.page.click("text=I have them")
    await expect(visitor.page.locator("tbody th")).to_have_text(name)


async def sign_out(visitor: Visitor) -> None:
    """Forget the session, and keep the browser's own cookie."""
    await visitor.context.clear_cookies(name="ostiary_session")


@pytest.mark.parametrize("suggested", [False, True])
async def test_a_passkey_signs_in_alone_in_the_middle_of_a_connection(
    visit: Visit, apps: Apps, suggested: bool
) -> None:
    visitor = await visit()
    if not suggested:
        await visitor.context.add_init_script(NO_SUGGESTIONS)
    await visitor.authenticator()
    username = await somebody(visitor)
    await make_passkey(visitor)
    await sign_out(visitor)
    callback = f"http://127.0.0.1:{apps.local.port}/alone"

    await visitor.page.goto(visitor.site.authorization(await visitor.site.client(callback)))
    if not suggested:
        await visitor.page.click(PASSKEY_BUTTON)
    await visitor.page.wait_for_url("**/consent/*")
    await expect(visitor.page.locator(".sub")).to_contain_text(username)
    await visitor.press("approve")

    assert "code=" in await arrive(visitor, callback)


async def test_a_passkey_comes_after_the_password(visit: Visit) -> None:
    visitor = await visit()
    await visitor.context.add_init_script(NO_SUGGESTIONS)
    await visitor.authenticator()
    username = await somebody(visitor)
    await make_passkey(visitor)
    await sign_out(visitor)

    await visitor.page.goto(f"{visitor.site.url}/login?next=/account/sessions")
    await visitor.sign_in(PASSWORD, username)
    await expect(visitor.page.locator("h1")).to_have_text("One more step")
    await visitor.page.click(PASSKEY_BUTTON)

    await expect(visitor.page.locator("h1")).to_have_text("Where you are signed in")


async def test_an_authenticator_without_the_passkey_signs_nobody_in(visit: Visit) -> None:
    owner = await visit()
    await owner.authenticator()
    username = await somebody(owner)
    await make_passkey(owner)

    stranger = await visit()
    await stranger.authenticator()
    await stranger.page.goto(f"{stranger.site.url}/login")
    await stranger.page.click(PASSKEY_BUTTON)
    await expect(stranger.page.locator("form[data-passkey] [role=alert]")).to_contain_text("not finished")
    # Nor does a passkey of somebody else help after the password.
    await stranger.sign_in(PASSWORD, username)
    await expect(stranger.page.locator("h1")).to_have_text("One more step")
    await stranger.page.click(PASSKEY_BUTTON)
    await expect(stranger.page.locator("form[data-passkey] [role=alert]")).to_contain_text("not finished")
    await assert_accessible(stranger.page)


async def test_an_authenticator_that_recognises_nobody_makes_no_passkey(visit: Visit) -> None:
    visitor = await visit()
    await visitor.authenticator(isUserVerified=False)
    await somebody(visitor)
    await visitor.page.goto(f"{visitor.site.url}/account/security/passkeys/new")
    await visitor.page.click(PASSKEY_BUTTON)
    await expect(visitor.page.locator("form[data-passkey] [role=alert]")).to_contain_text("not finished")


async def test_a_device_holds_one_passkey_for_a_person(visit: Visit) -> None:
    visitor = await visit()
    await visitor.authenticator()
    await somebody(visitor)
    await make_passkey(visitor)
    await visitor.page.goto(f"{visitor.site.url}/account/security/passkeys/new")
    await visitor.page.click(PASSKEY_BUTTON)
    await expect(visitor.page.locator("form[data-passkey] [role=alert]")).to_contain_text("already")


async def test_without_scripts_a_code_comes_after_the_password_in_two_tabs(visit: Visit, apps: Apps) -> None:
    """LGN-13 with a second step: each tab goes on to its own question."""
    visitor = await visit(java_script_enabled=False)
    username = await somebody(visitor, "/account/security/codes")
    secret = await visitor.set_up_app()
    await sign_out(visitor)
    clients = [
        await visitor.site.client(f"http://127.0.0.1:{apps.local.port}/{name}", client_name=name)
        for name in ("first", "second")
    ]
    tabs = [Visitor(visitor.site, visitor.context, await visitor.context.new_page()) for _ in clients]
    for tab, client in zip(tabs, clients, strict=True):
        await tab.page.goto(visitor.site.authorization(client))
        await tab.sign_in(PASSWORD, username)
        await expect(tab.page.locator(".sub")).to_contain_text(client["client_name"])
    # The code of the set-up is used; the one after it is good already, and the recovery codes are for the other tab.
    recovery = re.findall(r"[0-9A-Z]{5}-[0-9A-Z]{5}", await visitor.page.content())
    await tabs[0].page.fill("input[name=code]", TOTP(secret).at(datetime.now(UTC), counter_offset=1))
    await tabs[0].page.click("form:has([name=code]) button")
    await expect(tabs[0].page.locator("h1")).to_contain_text("first")
    await tabs[1].page.click("summary")
    await tabs[1].page.fill("input[name=recovery_code]", recovery[0])
    await tabs[1].page.click("form:has([name=recovery_code]) button")
    await expect(tabs[1].page.locator("h1")).to_contain_text("second")


@pytest.fixture
async def strict_site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server that asks everyone for a second factor."""
    settings = {**settings_on(f"sqlite+aiosqlite:///{tmp_path}/site.db"), "SECOND_FACTOR": "everyone"}
    with running_server(tmp_path, settings) as process:
        yield Site(process)


async def test_who_must_have_a_second_factor_is_led_to_it_and_on_to_the_app(
    visit: Visit, strict_site: Site, apps: Apps
) -> None:
    visitor = await visit(viewport={"width": 390, "height": 844})
    visitor.site = strict_site
    await visitor.authenticator()
    callback = f"http://127.0.0.1:{apps.local.port}/strict"
    await visitor.page.goto(strict_site.authorization(await strict_site.client(callback)))
    await visitor.sign_in()
    await expect(visitor.page.locator("h1")).to_contain_text("a second way")
    await picture(visitor, "second_factor_start-390-light")
    await assert_accessible(visitor.page)

    await visitor.page.click("text=Add a passkey")
    await visitor.page.click(PASSKEY_BUTTON)
    await visitor.page.click("text=I have them. Continue")
    await visitor.press("approve")

    assert "code=" in await arrive(visitor, callback)
