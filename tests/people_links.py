"""Links that let people in: how tests make, open and use them."""

import httpx2

from app.accounts import links, store
from app.accounts.links import Purpose
from app.audit import Origin
from tests.support.world import World
from tests.working_pages import form_to

NEW = "another long enough password"


async def link_for(
    world: World,
    username: str = "alice",
    purpose: Purpose = Purpose.PASSWORD_RESET,
    email: str | None = None,
) -> str:
    """The path of a new link for this person."""
    async with world.database.transaction() as tx:
        user = await store.find_user_by_username(tx, username)
        assert user is not None
        origin = Origin(world.clock.now(), "test")
        issued = await links.issue(tx, world.services.keys, user, purpose, origin, email=email)
    return f"/link/{issued.token}"


async def use(
    browser: httpx2.AsyncClient, path: str, new: str = NEW, again: str | None = None, **more: str
) -> httpx2.Response:
    """Open a link, fill in its form and send it as a browser does that was told to name no referrer."""
    page = await browser.get(path)
    assert page.status_code == 200, page.text
    form = form_to(page.text, path)
    fields = {name: value for name, value in form.fields.items() if name != "disconnect"}
    typed = {"new": new, "again": new if again is None else again} if "new" in fields else {}
    headers = {"origin": "null", "sec-fetch-site": "same-origin"}
    return await browser.post(path, data={**fields, **typed, **more}, headers=headers)


async def events(world: World) -> list[str]:
    """What is on record about links and what they changed, in order."""
    rows = await world.rows("SELECT event, reason FROM audit_events ORDER BY id")
    left_out = {"user.created", "user.signed_in"}
    return [
        f"{row['event']} {row['reason']}" if row["event"].startswith("refused") else row["event"]
        for row in rows
        if row["event"] not in left_out
    ]
