"""A second factor that is set up later: what sessions from before may still do, and guesses of the present password."""

import asyncio

import httpx2
import pytest

from app.oauth.credentials import BROWSER
from tests.factors import (
    CODES,
    NEW_PASSKEY,
    SECURITY,
    add_app,
    add_passkey,
    begin_second,
    code_at,
    events,
    give,
    secret_of,
)
from tests.front_channel import change
from tests.support.authenticator import Authenticator
from tests.support.world import PASSWORD, World, forms_of
from tests.working_pages import form_to, person

AT_ONCE = 20
_NEW = {"new": "another good password", "again": "another good password"}


async def kept_from_before(world: World) -> tuple[httpx2.AsyncClient, httpx2.AsyncClient, str]:
    """A browser with one factor although there are two by now, as one that signed in under an older version of this
    server; the browser where the second one was set up, and its secret.
    """
    before = await world.signed_in_browser()
    await change(world, "UPDATE sessions SET methods = 'fed mfa'")
    owner = await world.signed_in_browser()
    secret, _ = await add_app(world, owner)
    await change(world, "UPDATE sessions SET methods = 'pwd' WHERE methods = 'fed mfa'")
    return before, owner, secret


# ------------------------------------------------------------------------------------------ the moment itself
async def test_who_gets_a_second_factor_gets_a_new_session_id(world: World) -> None:
    """ASVS 7.2.4: whoever had the session id before has nothing any more."""
    owner = await world.signed_in_browser()
    before = owner.cookies["ostiary_session"]
    await add_app(world, owner)
    assert owner.cookies["ostiary_session"] != before
    assert (await owner.get("/account")).status_code == 200
    thief = world.browser()
    thief.cookies.set("ostiary_session", before)
    assert (await thief.get("/account")).headers["location"].startswith("/login")
    [row] = await world.rows("SELECT methods FROM sessions")
    assert row["methods"] == "pwd otp mfa"


async def test_each_further_factor_gives_another_session_id(world: World) -> None:
    owner = await world.signed_in_browser()
    await add_app(world, owner)
    before = owner.cookies["ostiary_session"]
    added = await add_passkey(owner, Authenticator())
    assert added.headers["location"] == f"{SECURITY}?done=passkey-added"
    assert owner.cookies["ostiary_session"] != before
    assert (await owner.get(SECURITY)).status_code == 200


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (CODES, "you are asked for a code too. Other browsers are signed out"),
        (NEW_PASSKEY, "Other browsers are signed out"),
    ],
)
async def test_the_first_second_factor_signs_out_elsewhere_and_says_so(
    world: World, page: str, told: str
) -> None:
    others = [await world.signed_in_browser() for _ in range(2)]
    owner = await world.signed_in_browser()
    somebody = await person(world, "bob")
    assert told in (await owner.get(page)).text
    if page == CODES:
        _, added = await add_app(world, owner)
    else:
        added = await add_passkey(owner, Authenticator())
    assert "signed out with 2 other browsers" in added.text
    for other in others:
        assert (await other.get("/account")).headers["location"].startswith("/login")
    assert (await somebody.get("/account")).status_code == 200
    assert (await owner.get("/account")).status_code == 200
    assert await events(world, "user.signed_out_elsewhere") == [("ok", None)]
    # Now they have one.
    assert told not in (await owner.get(page)).text


async def test_another_factor_signs_nobody_out_who_showed_two(world: World) -> None:
    owner = await world.signed_in_browser()
    secret, _ = await add_app(world, owner)
    other = world.browser()
    world.clock.advance(seconds=30)
    await give(other, await begin_second(world, other), code=code_at(world, secret))
    await add_passkey(owner, Authenticator())
    assert (await other.get("/account")).status_code == 200
    assert await events(world, "user.signed_out_elsewhere") == []


async def test_a_session_that_ends_meanwhile_adds_no_factor(world: World) -> None:
    """The same form twenty at once: one session, one new id."""
    owner = await world.signed_in_browser()
    page = await owner.get(CODES)
    form = form_to(page.text, CODES)
    typed = {**form.fields, "code": code_at(world, secret_of(page.text))}
    headers = {"cookie": "; ".join(f"{name}={value}" for name, value in owner.cookies.items())}
    answers = await asyncio.gather(
        *(world.browser().post(form.action, data=typed, headers=headers) for _ in range(AT_ONCE))
    )
    shown = [answer for answer in answers if answer.status_code == 200]
    assert len(shown) == 1
    elsewhere = {answer.headers["location"] for answer in answers if answer.status_code != 200}
    assert elsewhere <= {"/login", f"/login?next={SECURITY}"}
    assert len(await events(world, "authenticator.added")) == 1
    assert len(await world.rows("SELECT id_hash FROM sessions")) == 1


@pytest.mark.parametrize("_round", range(3))
async def test_no_sign_in_slips_through_beside_it(world: World, _round: int) -> None:
    """Twenty sign-ins with the password at once with the second factor that is set up."""
    owner = await world.signed_in_browser()
    page = await owner.get(CODES)
    form = form_to(page.text, CODES)
    typed = {**form.fields, "code": code_at(world, secret_of(page.text))}
    browsers = [world.browser() for _ in range(AT_ONCE)]
    ready = [forms_of((await browser.get("/login")).text)[0].fields for browser in browsers]
    await asyncio.gather(
        owner.post(form.action, data=typed),
        *(
            browser.post("/login", data={**fields, "username": "alice", "password": PASSWORD})
            for browser, fields in zip(browsers, ready, strict=True)
        ),
    )
    assert [row["methods"] for row in await world.rows("SELECT methods FROM sessions")] == ["pwd otp mfa"]


# ------------------------------------------------------------------------------------------ sessions kept from before
@pytest.mark.parametrize("address", [CODES, NEW_PASSKEY])
async def test_a_session_from_before_shows_the_second_factor_first(world: World, address: str) -> None:
    before, _, secret = await kept_from_before(world)
    world.clock.advance(minutes=5)
    refused = await before.get(address)
    assert refused.headers["location"] == f"/login?next={address}&switch=true"
    page = await begin_second(world, before, at=refused.headers["location"])
    onward = await give(before, page, code=code_at(world, secret))
    assert onward.headers["location"] == address
    assert (await before.get(address)).status_code == 200


async def test_a_session_from_before_removes_no_second_factor(world: World) -> None:
    before, _, _ = await kept_from_before(world)
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
    before, owner, _ = await kept_from_before(world)
    form = form_to((await before.get("/account/security")).text, "/account/security/password")
    typed = {**form.fields, **_NEW, "current": PASSWORD}
    refused = await before.post(form.action, data=typed)
    assert refused.headers["location"] == "/login?next=/account/security&switch=true"
    assert (await owner.get("/account")).status_code == 200
    assert (await world.rows("SELECT event FROM audit_events WHERE event = 'user.password_changed'")) == []
