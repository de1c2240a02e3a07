"""The pages behind links that let people in, and those on which operators make them."""

import itertools

from playwright.async_api import expect

from tests.browser.scenes_admin import admin_users
from tests.browser.scenes_factors import somebody_new
from tests.browser.visitor import Visitor

HOSTILE_NAME = "Zoe <img src=x onerror=alert(1)> “verified” " + "Pneumonoultramicroscopic" * 2
_numbers = itertools.count()


def unseen_name() -> str:
    """The name of somebody whom no other test knows."""
    return f"zoe-{next(_numbers)}"


async def invited(visitor: Visitor) -> None:
    """An operator invites someone."""
    await admin_users(visitor)
    await visitor.page.fill("form.fields input[name=username]", unseen_name())
    await visitor.page.fill("form.fields input[name=name]", HOSTILE_NAME)
    await visitor.page.click("button[name=how]")
    await expect(visitor.page.locator("h1")).to_have_text("The invitation was made")


async def invitation(visitor: Visitor) -> None:
    """The link, opened in the browser of the operator."""
    await invited(visitor)
    link = await visitor.page.locator("code.line").text_content()
    await visitor.page.goto(str(link))
    await expect(visitor.page.locator("h1")).to_have_text("You are invited")


async def invitation_with_a_short_password(visitor: Visitor) -> None:
    await invitation(visitor)
    await visitor.page.fill("input[name=new]", "short")
    await visitor.page.fill("input[name=again]", "short")
    await visitor.page.click("form.fields button[type=submit]")
    await expect(visitor.page.locator("[role=alert]")).to_be_visible()


async def reset_link(visitor: Visitor) -> None:
    """The way back in of somebody who chose a password before."""
    await invitation(visitor)
    await visitor.page.fill("input[name=new]", "long enough to be one")
    await visitor.page.fill("input[name=again]", "long enough to be one")
    await visitor.page.click("form.fields button[type=submit]")
    await expect(visitor.page).to_have_url(f"{visitor.site.url}/")
    name = unseen_name()
    await visitor.site.person(name)
    await visitor.page.goto(await visitor.site.link(name, "password_reset"))
    await expect(visitor.page.locator("h1")).to_have_text("Choose a new password")


async def _invite_by_letter(visitor: Visitor, address: str) -> None:
    await admin_users(visitor)
    await visitor.page.fill("form.fields input[name=username]", unseen_name())
    await visitor.page.fill("form.fields input[name=name]", HOSTILE_NAME)
    await visitor.page.fill("form.fields input[name=email]", address)
    await visitor.page.click("button[value=mail]")


async def invitation_sent(visitor: Visitor) -> None:
    await _invite_by_letter(visitor, f"zoe@{'long.' * 12}example")
    await expect(visitor.page.locator("h1")).to_have_text("The invitation was sent")


async def invitation_not_sent(visitor: Visitor) -> None:
    visitor.site.mail.refused.add("refused@example.com")
    await _invite_by_letter(visitor, "refused@example.com")
    await expect(visitor.page.locator("h1")).to_have_text("The e-mail was not sent")


async def link_to_an_address(visitor: Visitor) -> None:
    name = unseen_name()
    await visitor.site.person(name)
    await visitor.page.goto(await visitor.site.link(name, "email", f"{name}@{'long.' * 12}example"))
    await expect(visitor.page.locator("h1")).to_have_text("Is this your address?")


async def address_confirmed(visitor: Visitor) -> None:
    await link_to_an_address(visitor)
    await visitor.page.click("form button[type=submit]")
    await expect(visitor.page.locator("h1")).to_have_text("The address is confirmed")


async def link_that_is_over(visitor: Visitor) -> None:
    await visitor.page.goto(f"{visitor.site.url}/link/ost_link_nobody-made-it")
    await expect(visitor.page.locator("h1")).to_have_text("This link does not work")


async def forgot(visitor: Visitor) -> None:
    await visitor.page.goto(f"{visitor.site.url}/login")
    await visitor.page.click("a[href$=forgot]")
    await expect(visitor.page.locator("h1")).to_have_text("Forgot your password?")


async def forgot_with_nothing_typed(visitor: Visitor) -> None:
    await forgot(visitor)
    await visitor.page.fill("input[name=who]", " ")
    await visitor.page.click("form button[type=submit]")
    await expect(visitor.page.locator("[role=alert]")).to_be_visible()


async def forgot_sent(visitor: Visitor) -> None:
    await forgot(visitor)
    await visitor.page.fill("input[name=who]", "alice")
    await visitor.page.click("form button[type=submit]")
    await expect(visitor.page.locator("h1")).to_have_text("Look at your mail")


async def address_given(visitor: Visitor) -> None:
    await somebody_new(visitor)
    await visitor.page.fill("input[name=email]", f"new@{'long.' * 12}example")
    await visitor.page.click("form:has([name=email]) button[type=submit]")
    await expect(visitor.page.locator("[role=status]")).to_contain_text("An e-mail is on its way")


async def address_known(visitor: Visitor) -> None:
    name = await somebody_new(visitor)
    await visitor.page.goto(await visitor.site.link(name, "email", f"{name}@{'long.' * 12}example"))
    await visitor.page.click("form button[type=submit]")
    await visitor.page.click("a.button")
    await expect(visitor.page.locator("section[aria-labelledby=address]")).to_contain_text("confirmed")


LINK_SCENES = (
    invited,
    invitation,
    invitation_with_a_short_password,
    reset_link,
    invitation_sent,
    invitation_not_sent,
    link_to_an_address,
    address_confirmed,
    link_that_is_over,
    forgot,
    forgot_with_nothing_typed,
    forgot_sent,
    address_given,
    address_known,
)
