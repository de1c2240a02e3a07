"""What the one script adds: buttons that copy, and tables that thin out while one types."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.gallery import show

pytestmark = pytest.mark.browser


async def test_a_button_copies_what_is_there_to_be_copied(visit: Visit) -> None:
    visitor = await visit(permissions=["clipboard-read", "clipboard-write"])
    await visitor.page.goto(f"{visitor.site.url}/")
    button = visitor.page.get_by_role("button", name="Copy").first
    await button.click()
    await expect(visitor.page.get_by_role("button", name="Copied").first).to_be_visible()
    assert await visitor.page.evaluate("navigator.clipboard.readText()") == f"{visitor.site.url}/mcp"


async def test_a_button_that_may_not_copy_selects(visit: Visit) -> None:
    visitor = await visit()
    await visitor.page.add_init_script(
        "navigator.clipboard.writeText = () => Promise.reject(new Error('no'));"
    )
    await visitor.page.goto(f"{visitor.site.url}/")
    await visitor.page.get_by_role("button", name="Copy").first.click()
    await expect(visitor.page.get_by_role("button", name="Selected").first).to_be_visible()
    assert await visitor.page.evaluate("getSelection().toString()") == f"{visitor.site.url}/mcp"


async def test_a_table_shows_the_rows_with_the_words_that_one_types(visit: Visit) -> None:
    for width in (390, 1280):
        visitor = await visit(viewport={"width": width, "height": 900})
        await show(visitor, "list")
        rows = visitor.page.locator("#clients tbody tr:visible")
        await visitor.page.fill("input[type=search]", "CLAUDE.AI  verified")
        await expect(rows).to_have_count(2)
        await expect(visitor.page.locator(".find [role=status]")).to_have_text("2 of 8 shown")
        await visitor.page.fill("input[type=search]", "")
        await expect(rows).to_have_count(8)


async def test_without_the_script_nothing_is_missing(visit: Visit) -> None:
    visitor = await visit(java_script_enabled=False)
    await show(visitor, "list")
    await expect(visitor.page.locator("#clients tbody tr")).to_have_count(8)
    await expect(visitor.page.get_by_role("button", name="Search")).to_be_visible()
    await visitor.page.goto(f"{visitor.site.url}/")
    await expect(visitor.page.get_by_role("button", name="Copy")).to_have_count(0)
