"""The pages about how people sign in, each with the way to it."""

import itertools

from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.support.world import PASSWORD

HOSTILE_NAME = "Phone <img src=x onerror=alert(1)> " + "Pneumonoultramicroscopic"
_numbers = itertools.count()


async def somebody_new(visitor: Visitor) -> str:
    """Sign in as somebody whom no other test knows."""
    username = f"nora-{next(_numbers)}"
    await visitor.site.person(username)
    await visitor.page.goto(f"{visitor.site.url}/login?next=/account/security")
    await visitor.sign_in(PASSWORD, username)
    await expect(visitor.page.locator("h1")).to_have_text("How you sign in")
    return username


async def security(visitor: Visitor) -> None:
    await somebody_new(visitor)


async def security_with_everything(visitor: Visitor) -> None:
    username = await somebody_new(visitor)
    await visitor.set_up_app()
    await visitor.site.add_passkeys(username, HOSTILE_NAME, "Blue key")
    await visitor.page.goto(f"{visitor.site.url}/account/security?done=app-added")


async def a_passkey(visitor: Visitor) -> None:
    await security_with_everything(visitor)
    await visitor.page.locator("td a").first.click()
    await visitor.page.click("summary")


async def app_for_codes(visitor: Visitor) -> None:
    await somebody_new(visitor)
    await visitor.page.goto(f"{visitor.site.url}/account/security/codes")


async def app_with_a_wrong_code(visitor: Visitor) -> None:
    await app_for_codes(visitor)
    await visitor.page.fill("input[name=code]", "1234")
    await visitor.page.click("form:has([name=code]) button[type=submit]")
    await expect(visitor.page.locator("[role=alert]").first).to_be_visible()


async def recovery_codes(visitor: Visitor) -> None:
    await somebody_new(visitor)
    await visitor.set_up_app()


async def add_a_passkey(visitor: Visitor) -> None:
    await somebody_new(visitor)
    await visitor.page.goto(f"{visitor.site.url}/account/security/passkeys/new")


async def one_more_step(visitor: Visitor) -> None:
    username = await somebody_new(visitor)
    await visitor.set_up_app()
    await visitor.site.add_passkeys(username, "Phone")
    client = await visitor.site.client("http://127.0.0.1/callback")
    await visitor.page.goto(visitor.site.authorization(client, prompt="login"))
    await visitor.sign_in(PASSWORD, username)
    await expect(visitor.page.locator("h1")).to_have_text("One more step")
    await visitor.page.locator("summary").click()


async def wrong_code(visitor: Visitor) -> None:
    username = await somebody_new(visitor)
    await visitor.set_up_app()
    await visitor.page.goto(f"{visitor.site.url}/login?switch=true")
    await visitor.sign_in(PASSWORD, username)
    await visitor.page.fill("input[name=code]", "1234")
    await visitor.page.click("form:has([name=code]) button[type=submit]")
    await expect(visitor.page.locator("#problem")).to_be_visible()


async def too_many_wrong_codes(visitor: Visitor) -> None:
    await wrong_code(visitor)
    for _ in range(5):
        await visitor.page.fill("input[name=code]", "1234")
        await visitor.page.click("form:has([name=code]) button[type=submit]")
    await expect(visitor.page.locator("body")).to_contain_text("wrong too often")


FACTOR_SCENES = (
    security,
    security_with_everything,
    a_passkey,
    app_for_codes,
    app_with_a_wrong_code,
    recovery_codes,
    add_a_passkey,
    one_more_step,
    wrong_code,
    too_many_wrong_codes,
)
