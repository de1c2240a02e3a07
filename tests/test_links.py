"""A link lets whoever it was given to choose a password: once, and nobody who is kept out. LGN-10, LGN-12."""

import asyncio
import re

import httpx2
import pytest

from app.accounts import people, store
from app.accounts.links import LIFETIMES, Purpose
from app.accounts.people import Refused
from app.audit import Origin
from tests.factors import add_app, code_at, give
from tests.front_channel import assert_html, change
from tests.people_links import NEW, events, link_for, use
from tests.support.world import PASSWORD, World
from tests.working_pages import form_to

PASSWORDS = [Purpose.INVITATION, Purpose.PASSWORD_RESET]


def assert_refused(answer: httpx2.Response) -> None:
    """The one page for every link that is not good."""
    assert_html(answer, 404)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "This link does not work" in answer.text
    assert "they can make a new one" in answer.text
    assert re.search(r'<code class="ref">[0-9A-Z]{4}-[0-9A-Z]{4}</code>', answer.text)


@pytest.mark.parametrize("purpose", PASSWORDS)
async def test_whoever_has_the_link_chooses_a_password_and_is_signed_in(
    world: World, purpose: Purpose
) -> None:
    browser, path = world.browser(), await link_for(world, purpose=purpose)
    answer = await use(browser, path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await browser.get("/account")).status_code == 200
    assert (await world.sign_in(world.browser())).status_code == 401
    assert (await world.sign_in(world.browser(), password=NEW)).status_code == 303
    (user,) = await world.rows("SELECT email_verified_at FROM users")
    assert user["email_verified_at"] is None


async def test_lgn_12_the_page_spends_nothing_however_often_it_is_opened(world: World) -> None:
    path = await link_for(world)
    for browser in (world.browser(), world.browser(), world.browser()):
        page = await browser.get(path)
        assert_html(page, 200)
        assert page.headers["referrer-policy"] == "no-referrer"
        assert (await browser.head(path)).status_code == 200
    assert (await use(world.browser(), path)).status_code == 303


async def test_lgn_12_a_link_is_good_once(world: World) -> None:
    path, late = await link_for(world), world.browser()
    form = form_to((await late.get(path)).text, path)
    assert (await use(world.browser(), path)).status_code == 303
    assert_refused(await world.browser().get(path))
    typed = {**form.fields, "new": "a third good password", "again": "a third good password"}
    assert_refused(await late.post(path, data=typed))
    assert (await world.sign_in(world.browser(), password=NEW)).status_code == 303
    assert await events(world) == [
        "user.reset_link_made",
        "user.password_reset",
        *["refused /link/{token} link_used"] * 2,
    ]


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_lgn_12_a_link_ends_with_its_time(world: World, purpose: Purpose) -> None:
    path = await link_for(world, purpose=purpose, email="alice@example.com")
    world.clock.advance(seconds=LIFETIMES[purpose].total_seconds() - 1)
    late = world.browser()
    form = form_to((await late.get(path)).text, path)
    world.clock.advance(seconds=1)
    assert_refused(await late.get(path))
    assert_refused(await late.post(path, data={**form.fields, "new": NEW, "again": NEW}))
    assert (await world.sign_in(world.browser())).status_code == 303


async def test_how_long_links_live() -> None:
    hours = {purpose: LIFETIMES[purpose].total_seconds() / 3600 for purpose in Purpose}
    assert hours == {Purpose.INVITATION: 168, Purpose.PASSWORD_RESET: 1, Purpose.EMAIL: 24}


async def test_a_newer_link_withdraws_the_older_of_its_kind_alone(world: World) -> None:
    await world.create_user("bob")
    old, of_bob = await link_for(world), await link_for(world, "bob")
    invitation = await link_for(world, purpose=Purpose.INVITATION)
    new = await link_for(world)
    browser = world.browser()
    assert_refused(await browser.get(old))
    assert (await events(world))[-1] == "refused /link/{token} link_withdrawn"
    for path in (new, of_bob, invitation):
        assert (await browser.get(path)).status_code == 200


@pytest.mark.parametrize("way", ["person", "operator", "link"])
async def test_another_password_withdraws_every_link(world: World, way: str) -> None:
    open_ones = [await link_for(world, purpose=purpose, email="a@example.com") for purpose in Purpose]
    async with world.database.transaction() as tx:
        user, origin = await store.find_user_by_username(tx, "alice"), Origin(world.clock.now(), "test")
        assert user is not None
        if way == "person":
            await people.change_password(tx, user, "a hash", origin)
        elif way == "operator":
            await people.reset_password(tx, world.services.passwords, user, NEW, origin)
    if way == "link":
        assert (await use(world.browser(), open_ones.pop(0))).status_code == 303
    for path in open_ones:
        assert_refused(await world.browser().get(path))


async def test_lgn_10_nobody_who_is_disabled_gets_a_link_or_uses_one(world: World) -> None:
    path, open_page = await link_for(world), world.browser()
    form = form_to((await open_page.get(path)).text, path)
    # Behind our back, so that the link itself was not withdrawn.
    await change(world, "UPDATE users SET disabled_at = created_at")
    assert_refused(await open_page.get(path))
    assert_refused(await open_page.post(path, data={**form.fields, "new": NEW, "again": NEW}))
    with pytest.raises(Refused, match="alice is disabled"):
        await link_for(world)
    assert (await events(world))[1:] == ["refused /link/{token} user_disabled"] * 2
    assert (await world.counts())["sessions"] == 0


async def test_lgn_10_being_disabled_for_a_while_ends_open_links(world: World) -> None:
    path = await link_for(world)
    async with world.database.transaction() as tx:
        user, origin = await store.find_user_by_username(tx, "alice"), Origin(world.clock.now(), "test")
        assert user is not None
        await people.disable_user(tx, user, origin)
        await people.enable_user(tx, user, origin)
    assert_refused(await world.browser().get(path))


@pytest.mark.parametrize("token", ["ost_link_" + "A" * 43, "x", "x" * 5000, "%00", "%ff", "a%2Fb"])
async def test_a_link_that_nobody_made_lets_nobody_in(world: World, token: str) -> None:
    answer = await world.browser().get(f"/link/{token}")
    assert_html(answer, 404)


async def test_lgn_12_a_link_of_someone_else_changes_only_that_person(world: World) -> None:
    await world.create_user("bob")
    browser = await world.signed_in_browser("bob")
    path = await link_for(world)
    page = (await browser.get(path)).text
    assert "signed in as <b><bdi>Bob</bdi></b>" in page
    assert (await use(browser, path)).status_code == 303
    assert (await world.sign_in(world.browser(), "bob")).status_code == 303
    assert (await world.sign_in(world.browser(), "alice", NEW)).status_code == 303
    # The browser is alice's now, and bob's session is over.
    assert "Alice" in (await browser.get("/logout")).text


async def test_every_other_session_ends(world: World) -> None:
    here, elsewhere = await world.signed_in_browser(), await world.signed_in_browser()
    assert (await use(here, await link_for(world))).status_code == 303
    assert (await here.get("/account")).status_code == 200
    assert (await elsewhere.get("/account")).status_code == 303


@pytest.mark.parametrize("ticked", [True, False])
async def test_apps_are_disconnected_where_that_is_wished(world: World, ticked: bool) -> None:
    tokens = await world.tokens(await world.register())
    await use(world.browser(), await link_for(world), **({"disconnect": "1"} if ticked else {}))
    assert (await world.call(tokens["access_token"])).status_code == (401 if ticked else 200)


async def test_a_second_factor_is_asked_for_all_the_same(world: World) -> None:
    secret, _ = await add_app(world, await world.signed_in_browser())
    browser = world.browser()
    answer = await use(browser, await link_for(world))
    assert answer.headers["location"].startswith("/login/second?")
    assert (await browser.get("/account")).status_code == 303
    assert (await world.counts())["sessions"] == 0
    page = await browser.get(answer.headers["location"])
    world.clock.advance(minutes=1)
    assert (await give(browser, page, code=code_at(world, secret))).status_code == 303
    assert (await browser.get("/account")).status_code == 200


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        pytest.param({"new": "short"}, "A password has ", id="too short"),
        pytest.param({"new": "x" * 2000}, "A password has ", id="too long"),
        pytest.param({"again": "something else entirely"}, "not the same twice", id="not the same twice"),
    ],
)
async def test_a_password_that_cannot_be_uses_nothing_up(
    world: World, typed: dict[str, str], says: str
) -> None:
    browser, path = world.browser(), await link_for(world)
    answer = await use(browser, path, **typed)
    assert_html(answer, 422)
    assert says in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert (await world.sign_in(world.browser())).status_code == 303
    assert (await use(browser, path)).status_code == 303


@pytest.mark.parametrize(
    ("change_of", "headers"),
    [
        pytest.param({"csrf_token": "x"}, {}, id="LGN-6 another token"),
        pytest.param({"csrf_token": ""}, {}, id="LGN-6 no token"),
        pytest.param({}, {"origin": "https://evil.example"}, id="LGN-6 another origin"),
        pytest.param({}, {"origin": "null", "sec-fetch-site": "cross-site"}, id="LGN-6 another site"),
    ],
)
async def test_a_form_that_is_not_ours_does_nothing(
    world: World, change_of: dict[str, str], headers: dict[str, str]
) -> None:
    browser, path = world.browser(), await link_for(world)
    form = form_to((await browser.get(path)).text, path)
    data = {**form.fields, "new": NEW, "again": NEW, **change_of}
    assert_html(await browser.post(path, data=data, headers=headers), 403)
    # In another browser than the one that opened the page, or in one that never was here.
    elsewhere = world.browser()
    assert_html(await elsewhere.post(path, data={**data, **form.fields}), 403)
    await elsewhere.get("/login")
    assert_html(await elsewhere.post(path, data={**data, **form.fields}), 403)
    assert (await world.sign_in(world.browser())).status_code == 303


async def test_a_form_of_one_link_works_on_no_other(world: World) -> None:
    await world.create_user("bob")
    browser, of_bob = world.browser(), await link_for(world, "bob")
    path = await link_for(world)
    form = form_to((await browser.get(path)).text, path)
    assert_html(await browser.post(of_bob, data={**form.fields, "new": NEW, "again": NEW}), 403)


async def test_whoever_guesses_is_slowed_down_and_a_good_link_works_all_the_same(world: World) -> None:
    browser, path = world.browser(), await link_for(world)
    answers = [await browser.get(f"/link/guess-{number}") for number in range(40)]
    assert answers[0].status_code == 404
    assert_html(answers[-1], 429)
    assert answers[-1].headers["retry-after"] == "600"
    assert (await use(browser, path)).status_code == 303
    assert (await world.browser("198.51.100.1").get("/link/x")).status_code == 404


async def test_of_many_at_once_one_is_first(world: World) -> None:
    path = await link_for(world)
    answers = await asyncio.gather(*(use(world.browser(), path, f"{NEW} {number}") for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [303, *[404] * 9]
    assert (await world.counts())["sessions"] == 1


async def test_the_database_and_the_record_know_no_secret(world: World) -> None:
    path = await link_for(world)
    await use(world.browser(), path)
    await world.browser().get(path)
    token = path.removeprefix("/link/")
    (row,) = await world.rows("SELECT * FROM account_links")
    assert len(row["token_hash"]) == 64
    assert token not in str([row, *await world.rows("SELECT * FROM audit_events")])
    rows = await world.rows("SELECT user_id, reference FROM audit_events WHERE outcome <> 'ok'")
    (user,) = await world.rows("SELECT id FROM users")
    assert [(entry["user_id"], bool(entry["reference"])) for entry in rows] == [(user["id"], True)]


async def test_a_reset_link_that_was_sent_to_the_address_proves_it(world: World) -> None:
    await use(world.browser(), await link_for(world, email="alice@example.com"))
    (user,) = await world.rows("SELECT email_verified_at FROM users")
    assert user["email_verified_at"]


async def test_a_reset_link_proves_no_other_address_than_that_it_was_sent_to(world: World) -> None:
    path = await link_for(world, email="alice@example.com")
    await change(world, "UPDATE users SET email = 'new@example.com'")
    await use(world.browser(), path)
    (user,) = await world.rows("SELECT email, email_verified_at FROM users")
    assert user == {"email": "new@example.com", "email_verified_at": None}


async def test_a_link_to_an_address_makes_it_the_persons_own_and_signs_nobody_in(world: World) -> None:
    browser, path = world.browser(), await link_for(world, purpose=Purpose.EMAIL, email="new@example.com")
    page = await browser.get(path)
    assert "new@example.com" in page.text
    assert_html(await use(browser, path), 200)
    (user,) = await world.rows("SELECT email, email_verified_at FROM users")
    assert user["email"] == "new@example.com"
    assert user["email_verified_at"]
    assert (await world.counts())["sessions"] == 0
    assert (await world.sign_in(world.browser(), password=PASSWORD)).status_code == 303
    assert await events(world) == ["user.email_link_made", "user.email_changed", "user.email_verified"]
    assert_refused(await browser.get(path))
