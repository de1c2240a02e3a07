"""A person's own pages: connected apps, what happened lately, sessions."""

from uuid import uuid4

from playwright.async_api import expect

from tests.browser.visitor import Visitor

HOSTILE_NAME = "Claude (claude.ai) “verified” <img src=x onerror=alert(1)> " + "Pneumonoultramicroscopic" * 2
FEW = ("Claude", "Visual Studio Code", HOSTILE_NAME, "Cursor", "MCP Inspector")


async def _as_somebody(visitor: Visitor, *names: str) -> None:
    """Somebody new, with these apps."""
    username = f"person-{uuid4().hex[:12]}"
    await visitor.site.person(username)
    await visitor.site.connect(username, *names)
    await visitor.page.goto(f"{visitor.site.url}/login")
    await visitor.sign_in(username=username)
    await expect(visitor.page).to_have_url(f"{visitor.site.url}/")
    await visitor.page.goto(f"{visitor.site.url}/account")


async def no_apps(visitor: Visitor) -> None:
    await _as_somebody(visitor)


async def one_app(visitor: Visitor) -> None:
    await _as_somebody(visitor, "Claude")


async def few_apps(visitor: Visitor) -> None:
    await _as_somebody(visitor, *FEW)
    await visitor.page.locator("details.danger summary").click()


async def many_apps(visitor: Visitor) -> None:
    await _as_somebody(visitor, *(f"{FEW[number % 5]} {number}" for number in range(200)))
    await expect(visitor.page.locator("tbody tr")).to_have_count(200)


async def app_narrowed(visitor: Visitor) -> None:
    await few_apps(visitor)
    await visitor.page.locator("tbody a").nth(2).click()
    await visitor.page.uncheck("input[name=keep][value=email]")
    await visitor.page.click("text=Take back what is not ticked")
    await expect(visitor.page.locator("[role=status]")).to_contain_text("Done.")


async def app_with_nothing_left(visitor: Visitor) -> None:
    await one_app(visitor)
    await visitor.page.locator("tbody a").first.click()
    await visitor.page.uncheck("input[name=keep][value=mcp]")
    await visitor.page.click("text=Take back what is not ticked")
    await expect(visitor.page.locator("[role=alert]")).to_contain_text("Nothing would be left")


async def app_disconnected(visitor: Visitor) -> None:
    await few_apps(visitor)
    await visitor.page.locator("tbody button").first.click()
    await expect(visitor.page.locator("[role=status]")).to_contain_text("Disconnected.")


async def activity(visitor: Visitor) -> None:
    await app_disconnected(visitor)
    await visitor.page.goto(f"{visitor.site.url}/account/activity")


async def own_sessions(visitor: Visitor) -> None:
    await no_apps(visitor)
    await visitor.page.goto(f"{visitor.site.url}/account/sessions")


ACCOUNT_SCENES = (
    no_apps,
    one_app,
    few_apps,
    many_apps,
    app_narrowed,
    app_with_nothing_left,
    app_disconnected,
    activity,
    own_sessions,
)
