"""What changes while a password is verified counts."""

import asyncio
from collections.abc import Callable
from typing import Any

from app.accounts import people
from app.audit import Origin
from tests.support.world import PASSWORD, World, forms_of


async def test_a_sign_in_that_waits_does_not_outlive_a_new_password(make_world: Callable[..., Any]) -> None:
    world: World = await make_world(hash_cost=None)
    user = await world.create_user("bob")
    browser = world.browser()
    form = next(form for form in forms_of((await browser.get("/login")).text) if "password" in form.fields)
    data = {**form.fields, "username": "bob", "password": PASSWORD}
    # Every thread is busy, so the sign-in has to wait for its turn.
    busy = [asyncio.create_task(world.services.passwords.hash("something to do")) for _ in range(30)]
    await asyncio.sleep(0)
    sign_in = asyncio.create_task(browser.post(form.action, data=data))
    origin = Origin(world.clock.now(), "test")
    async with world.database.transaction() as tx:
        await people.disable_user(tx, user, origin)

    answer = await sign_in
    await asyncio.gather(*busy)

    assert answer.status_code == 401
    assert (await world.counts())["sessions"] == 0


async def test_signing_in_again_ends_the_session_before(world: World) -> None:
    browser = await world.signed_in_browser()
    before = dict(browser.cookies)

    await world.sign_in(browser, at="/login?switch=true")

    old = world.browser()
    old.cookies.update(before)
    assert (await old.get("/logout")).text.count("alice") == 0
    assert (await world.counts())["sessions"] == 1
