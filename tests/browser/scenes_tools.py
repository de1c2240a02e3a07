"""The page on which people try the tools."""

from playwright.async_api import expect

from tests.browser.visitor import Visitor


async def tools(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/account/try")


async def tool_form(visitor: Visitor) -> None:
    await tools(visitor)
    await visitor.page.click("text=Say hello")
    await expect(visitor.page.locator("button", has_text="Call it")).to_be_visible()


async def tool_answer(visitor: Visitor) -> None:
    await tools(visitor)
    await visitor.page.click("text=Who am I?")
    await visitor.page.click("text=Call it")
    await expect(visitor.page.locator("pre").first).to_contain_text('"username": "alice"')


TOOL_SCENES = (tools, tool_form, tool_answer)
