"""A second factor that is set up later: what sessions from before may still do, and guesses of the present password."""

import pytest

from app.oauth.credentials import BROWSER
from tests.factors import CODES, NEW_PASSKEY, add_app, begin_second, code_at, give
from tests.support.world import PASSWORD, World
from tests.working_pages import form_to

_NEW = {"new": "another good password", "again": "another good password"}


@pytest.mark.parametrize("address", [CODES, NEW_PASSKEY])
async def test_a_session_from_before_shows_the_second_factor_first(world: World, address: str) -> None:
    before, owner = await world.signed_in_browser(), await world.signed_in_browser()
    secret, _ = await add_app(world, owner)
    world.clock.advance(minutes=5)
    refused = await before.get(address)
    assert refused.headers["location"] == f"/login?next={address}&switch=true"
    page = await begin_second(world, before, at=refused.headers["location"])
    onward = await give(before, page, code=code_at(world, secret))
    assert onward.headers["location"] == address
    assert (await before.get(address)).status_code == 200


async def test_a_session_from_before_removes_no_second_factor(world: World) -> None:
    before, owner = await world.signed_in_browser(), await world.signed_in_browser()
    await add_app(world, owner)
    page = await before.get("/account/security")
    form = form_to(page.text, f"{CODES}/remove")
    refused = await before.post(form.action, data=form.fields)
    assert refused.headers["location"] == "/login?next=/account/security&switch=true"
    assert await world.rows("SELECT user_id FROM authenticators")


async def test_lgn_2_another_browser_id_gives_no_more_guesses_of_the_present_password(world: World) -> None:
    browser = await world.signed_in_browser()
    form = form_to((await browser.get("/account/security")).text, "/account/security/password")
    session = browser.cookies["ostiary_session"]
    statuses = [
        (
            await world.browser().post(
                form.action,
                data={**form.fields, **_NEW, "current": f"wrong {number}"},
                headers={"cookie": f"ostiary_session={session}; ostiary_browser={BROWSER}{number}"},
            )
        ).status_code
        for number in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2


async def test_a_session_from_before_changes_no_password(world: World) -> None:
    before, owner = await world.signed_in_browser(), await world.signed_in_browser()
    await add_app(world, owner)
    form = form_to((await before.get("/account/security")).text, "/account/security/password")
    typed = {**form.fields, **_NEW, "current": PASSWORD}
    refused = await before.post(form.action, data=typed)
    assert refused.headers["location"] == "/login?next=/account/security&switch=true"
    assert (await owner.get("/account")).status_code == 200
    assert (await world.rows("SELECT event FROM audit_events WHERE event = 'user.password_changed'")) == []
