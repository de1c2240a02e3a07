"""Pages of the gallery in the browser."""

from tests.browser.visitor import Visitor
from tests.gallery import HOSTILE, gallery


async def show(visitor: Visitor, name: str, hostile: str = HOSTILE) -> None:
    """Open one, as if the site had it."""
    page = gallery(name, hostile)
    address = f"{visitor.site.url}/gallery/{name}"
    await visitor.page.route(
        address, lambda route: route.fulfill(body=bytes(page.body), headers=dict(page.headers))
    )
    await visitor.page.goto(address)
