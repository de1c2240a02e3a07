"""Connecting a device, with the keyboard alone and with the code of its link."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.test_keyboard import FOCUSED, tab_to
from tests.browser.test_pages import CONTRAST, OUT_OF_ORDER, TOO_PALE, TOO_WIDE, picture
from tests.browser.visitor import USERNAME, Site
from tests.support.world import PASSWORD

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_connecting_a_device_needs_only_tab_and_enter(visit: Visit, site: Site, decision: str) -> None:
    device = await site.device()
    page = (await visit()).page
    await page.goto(device["verification_uri"])
    await tab_to(page, 'name="username"')
    await page.keyboard.type(USERNAME)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("input[name=user_code]")).to_have_count(1)

    assert 'name="user_code"' in await page.evaluate(FOCUSED)
    await page.keyboard.type(device["user_code"].lower().replace("-", " "))
    await page.keyboard.press("Enter")
    await expect(page.locator("button[name=decision]")).to_have_count(2)
    await expect(page.locator("main")).to_contain_text(device["user_code"])
    await tab_to(page, f'value="{decision}"')
    await page.keyboard.press("Enter")

    await expect(page.locator("button[name=decision]")).to_have_count(0)
    answer = await site.poll(device)
    assert (answer.status_code == 200) == (decision == "approve"), answer.text
    await page.reload()
    await expect(page.locator("h1")).to_have_text(
        "You are connected" if decision == "approve" else "The device was turned away"
    )


async def test_a_link_with_the_code_sends_nothing_by_itself(visit: Visit, site: Site) -> None:
    """RFC 8628 §3.3.1: the person is asked to compare."""
    device = await site.device()
    visitor = await visit()
    await visitor.signed_in()
    before = len(visitor.requested)

    await visitor.page.goto(device["verification_uri_complete"], wait_until="networkidle")

    await expect(visitor.page.locator("input[name=user_code]")).to_have_value(device["user_code"])
    assert 'name="user_code"' not in await visitor.page.evaluate(FOCUSED)
    assert [url for url in visitor.requested[before:] if "/device" in url] == [visitor.page.url]
    assert (await site.poll(device)).json()["error"] == "authorization_pending"


async def test_a_wrong_code_is_told_next_to_the_field(visit: Visit, site: Site) -> None:
    """Once only: five wrong codes are all that a person has in ten minutes."""
    visitor = await visit(color_scheme="dark", viewport={"width": 390, "height": 844})
    await visitor.signed_in()
    page = visitor.page
    await page.goto(f"{site.url}/device")
    await page.fill("input[name=user_code]", "bcdf bcdf")
    await page.click("form button[type=submit]")

    await expect(page.locator("[role=alert]")).to_contain_text("That code is not right")
    await expect(page.locator("input[aria-invalid=true]")).to_have_value("BCDF-BCDF")
    await picture(visitor, "device_wrong_code-390-dark")
    assert await page.evaluate(TOO_WIDE) == []
    assert await page.evaluate(OUT_OF_ORDER) == []
    assert await page.evaluate(TOO_PALE, CONTRAST) == []


async def test_the_question_leads_back_to_the_code_when_someone_else_is_to_decide(
    visit: Visit, site: Site
) -> None:
    device = await site.device()
    visitor = await visit()
    await visitor.type_code(device)

    await visitor.page.click("text=Not you?")
    await visitor.sign_in()

    await expect(visitor.page.locator("input[name=user_code]")).to_have_value(device["user_code"])
