"""With the keyboard alone."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Apps, Visit
from tests.browser.visitor import USERNAME, Site
from tests.front_channel import answer_to
from tests.support.world import PASSWORD

pytestmark = pytest.mark.browser

STEPS = 20
# The tag of what has the focus, without what is inside.
FOCUSED = "() => document.activeElement.cloneNode(false).outerHTML"
# A ring, a shadow or a border that only what has the focus has.
SHOWS_FOCUS = """
() => {
  const look = (e) => {
    const s = getComputedStyle(e);
    return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor].join();
  };
  const element = document.activeElement;
  const focused = look(element);
  element.blur();
  const blurred = look(element);
  element.focus({focusVisible: true});
  return focused !== blurred;
}
"""


async def tab_to(page: Page, part: str) -> int:
    """Press Tab until what has the focus contains this; returns how often it took."""
    for step in range(STEPS):
        if part in await page.evaluate(FOCUSED):
            return step
        await page.keyboard.press("Tab")
        assert await page.evaluate(SHOWS_FOCUS), await page.evaluate(FOCUSED)
    raise AssertionError(f"{part} is not reached with {STEPS} times Tab")


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_signing_in_and_deciding_need_only_tab_and_enter(
    visit: Visit, site: Site, apps: Apps, decision: str
) -> None:
    redirect_uri = f"http://127.0.0.1:{apps.local.port}/callback"
    visitor = await visit()
    page = visitor.page
    await page.goto(site.authorization(await site.client(redirect_uri)))

    await tab_to(page, 'name="username"')
    await page.keyboard.type(USERNAME)
    await tab_to(page, 'name="password"')
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("button[name=decision]")).to_have_count(2)
    await tab_to(page, f'value="{decision}"')
    await page.keyboard.press("Enter")

    await page.wait_for_url(f"{redirect_uri}?*")
    assert ("code" in answer_to(page.url, redirect_uri)) == (decision == "approve")


async def test_enter_on_the_question_itself_decides_nothing(visit: Visit, site: Site, apps: Apps) -> None:
    visitor = await visit()
    await visitor.ask(await site.client(f"http://127.0.0.1:{apps.local.port}/callback"))
    arrivals, address = len(apps.local.arrivals), visitor.page.url

    await visitor.page.keyboard.press("Enter")
    await visitor.page.keyboard.press("Space")

    await expect(visitor.page.locator("button[name=decision]")).to_have_count(2)
    assert (len(apps.local.arrivals), visitor.page.url) == (arrivals, address)


async def test_refusing_comes_before_allowing(visit: Visit, site: Site) -> None:
    visitor = await visit()
    await visitor.ask(await site.client("http://127.0.0.1/callback"))
    await tab_to(visitor.page, 'value="deny"')
    await visitor.page.keyboard.press("Tab")
    assert 'value="approve"' in await visitor.page.evaluate(FOCUSED)


async def test_the_name_has_the_focus_where_one_signs_in(visit: Visit, site: Site) -> None:
    visitor = await visit()
    await visitor.page.goto(f"{site.url}/login")
    assert 'name="username"' in await visitor.page.evaluate(FOCUSED)


async def test_signing_out_needs_only_tab_and_enter(visit: Visit, site: Site) -> None:
    visitor = await visit()
    await visitor.signed_in()
    await visitor.page.goto(f"{site.url}/logout")
    await tab_to(visitor.page, "<button")
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.page.locator("form[action$=logout]")).to_have_count(0)
    await visitor.page.goto(f"{site.url}/login")
    await expect(visitor.page.locator("input[name=password]")).to_have_count(1)


async def test_a_double_click_decides_once(visit: Visit, site: Site, apps: Apps) -> None:
    redirect_uri = f"http://127.0.0.1:{apps.local.port}/callback"
    visitor = await visit()
    await visitor.ask(await site.client(redirect_uri))
    arrivals = len(apps.local.arrivals)
    await visitor.page.dblclick("button[value=approve]", no_wait_after=True)
    await visitor.page.wait_for_url(f"{redirect_uri}?*")
    assert "code" in answer_to(visitor.page.url, redirect_uri)
    assert len({arrival.target for arrival in apps.local.arrivals[arrivals:]}) == 1
