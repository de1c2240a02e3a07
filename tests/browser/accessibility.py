"""What axe-core has to say about a page."""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

# WCAG 2.2 up to level AA, and what axe-core holds for good practice besides.
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


async def assert_accessible(page: Page) -> None:
    """Raises an AssertionError that names each rule that the page breaks, and where."""
    results = await Axe().run(page, options={"runOnly": list(RULES), "resultTypes": ["violations"]})
    broken = [
        f"{violation['id']} ({violation['impact']}) {node['html'][:120]}: {node['failureSummary']}"
        for violation in results.response["violations"]
        for node in violation["nodes"]
    ]
    assert not broken, "\n".join(broken)
