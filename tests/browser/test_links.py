"""A link's address is its secret: no request names it, and the form works all the same in a real browser. LGN-12."""

import pytest
from playwright.async_api import Request, expect

from tests.browser.conftest import Visit
from tests.browser.scenes_links import unseen_name
from tests.support.world import PASSWORD

pytestmark = pytest.mark.browser


async def test_lgn_12_no_request_names_the_page_as_its_referrer(visit: Visit) -> None:
    visitor, name = await visit(), unseen_name()
    await visitor.site.person(name)
    referrers: list[tuple[str, str | None]] = []

    async def note(request: Request) -> None:
        referrers.append((request.url, await request.header_value("referer")))

    visitor.page.on("requestfinished", note)
    await visitor.page.goto(await visitor.site.link(name, "password_reset"))
    await visitor.page.fill("input[name=new]", f"{PASSWORD} and more")
    await visitor.page.fill("input[name=again]", f"{PASSWORD} and more")
    await visitor.page.click("form.fields button[type=submit]")

    await expect(visitor.page).to_have_url(f"{visitor.site.url}/")
    await expect(visitor.page.locator("body")).to_contain_text(name.title())
    assert len(referrers) > 2
    assert [url for url, referrer in referrers if referrer is not None and "/link/" in referrer] == []
