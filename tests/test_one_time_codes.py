"""One-time codes of an app (TOTP, RFC 6238) and recovery codes: each works once, and not for long."""

import asyncio
from contextlib import nullcontext
from datetime import timedelta

import pytest

from app.accounts import one_time_codes
from app.audit import Origin
from app.oauth.credentials import Keys
from tests.factors import (
    CODES,
    SECURITY,
    add_app,
    begin_second,
    code_at,
    events,
    give,
    recovery_codes_of,
    secret_of,
)
from tests.front_channel import assert_html, change
from tests.support.world import SECRET_KEY, World, running_world
from tests.working_pages import form_to, person, press

AT_ONCE = 20


async def with_app(world: World) -> tuple[str, list[str]]:
    """The secret of alice's new app, and her recovery codes; half a minute later."""
    browser = await world.signed_in_browser()
    secret, added = await add_app(world, browser)
    world.clock.advance(seconds=30)
    return secret, recovery_codes_of(added.text)


# ------------------------------------------------------------------------------------------ setting up
async def test_an_app_counts_once_it_showed_a_code(world: World) -> None:
    browser = await world.signed_in_browser()
    page = await browser.get(CODES)
    assert await world.rows("SELECT * FROM authenticators") == []
    # What the picture says can't be read here; the address behind it names this server and the person.
    secret = secret_of(page.text)
    assert len(secret) == 32

    form = form_to(page.text, CODES)
    typed = f"{code_at(world, secret)[:3]} {code_at(world, secret)[3:]}"
    added = await browser.post(form.action, data={**form.fields, "code": typed})

    assert added.status_code == 200
    assert len(set(recovery_codes_of(added.text))) == 10
    [row] = await world.rows("SELECT * FROM authenticators")
    assert secret not in str(row)
    assert row["last_step"] == int(world.clock.now().timestamp()) // 30
    [session] = await world.rows("SELECT methods FROM sessions")
    assert session["methods"] == "pwd otp mfa"
    assert await events(world, "authenticator.added") == [("ok", None)]


async def test_every_visit_has_another_secret(world: World) -> None:
    browser = await world.signed_in_browser()
    assert len({secret_of((await browser.get(CODES)).text) for _ in range(3)}) == 3


async def test_a_wrong_code_leaves_the_picture(world: World) -> None:
    browser = await world.signed_in_browser()
    page = await browser.get(CODES)
    form = form_to(page.text, CODES)
    wrong = await browser.post(form.action, data={**form.fields, "code": "000000"})
    assert_html(wrong, 400)
    assert secret_of(wrong.text) == secret_of(page.text)
    again = form_to(wrong.text, CODES)
    data = {**again.fields, "code": code_at(world, secret_of(wrong.text))}
    assert (await browser.post(again.action, data=data)).status_code == 200


@pytest.mark.parametrize("set_up", ["", "x", "a.b.c.d.e"])
async def test_a_secret_that_was_not_made_here_is_not_taken(world: World, set_up: str) -> None:
    browser = await world.signed_in_browser()
    _, answer = await add_app(world, browser, set_up=set_up)
    assert_html(answer, 400)
    assert await world.rows("SELECT * FROM authenticators") == []


async def test_the_secret_of_someone_else_is_not_taken(world: World) -> None:
    """The attack: a victim's form with a secret that the attacker knows."""
    alice, mallory = await world.signed_in_browser(), await person(world, "mallory")
    page = await mallory.get(CODES)
    known = form_to(page.text, CODES).fields["set_up"]
    form = form_to((await alice.get(CODES)).text, CODES)
    data = {**form.fields, "set_up": known, "code": code_at(world, secret_of(page.text))}
    assert_html(await alice.post(form.action, data=data), 400)
    assert await world.rows("SELECT * FROM authenticators") == []


async def test_a_secret_waits_for_half_an_hour(world: World) -> None:
    user = await world.create_user("bob")
    keys, origin = world.services.keys, Origin(world.clock.now(), "test")
    set_up = one_time_codes.begin(keys, user, "localhost", origin)
    assert set_up.address.startswith("otpauth://totp/localhost:bob?")
    for seconds, waits in ((1799, True), (1800, False)):
        later = Origin(world.clock.now() + timedelta(seconds=seconds), "test")
        with nullcontext() if waits else pytest.raises(one_time_codes.Refused):
            assert (
                one_time_codes.resume(keys, user, "localhost", set_up.sealed, later).secret == set_up.secret
            )


async def test_the_app_of_before_works_until_another_showed_a_code(world: World) -> None:
    secret, _ = await with_app(world)
    browser = world.browser()
    await give(browser, await begin_second(world, browser), code=code_at(world, secret))
    page = await browser.get(CODES)
    assert "goes on working until you finish here" in page.text
    world.clock.advance(seconds=30)
    other = world.browser()
    assert (
        await give(other, await begin_second(world, other), code=code_at(world, secret))
    ).status_code == 303

    form, new = form_to(page.text, CODES), secret_of(page.text)
    changed = await browser.post(form.action, data={**form.fields, "code": code_at(world, new)})
    assert changed.headers["location"] == f"{SECURITY}?done=app-added"
    world.clock.advance(seconds=30)
    page = await begin_second(world, third := world.browser())
    assert_html(await give(third, page, code=code_at(world, secret)), 401)
    assert (await give(third, page, code=code_at(world, new))).status_code == 303


async def test_without_the_app_nobody_is_asked(world: World) -> None:
    secret, _ = await with_app(world)
    browser = world.browser()
    await give(browser, await begin_second(world, browser), code=code_at(world, secret))
    removed = await press(browser, SECURITY, f"{SECURITY}/codes/remove")
    assert removed.headers["location"] == f"{SECURITY}?done=app-removed"
    assert (await world.sign_in(world.browser())).headers["location"] == "/"
    assert await world.rows("SELECT * FROM recovery_codes") == []
    assert await events(world, "authenticator.removed") == [("ok", None)]


async def test_what_is_not_there_is_not_removed(world: World) -> None:
    browser = await world.signed_in_browser()
    await add_app(world, browser)
    form = form_to((await browser.get(SECURITY)).text, f"{SECURITY}/codes/remove")
    for _ in range(2):
        assert (await browser.post(form.action, data=form.fields)).status_code == 303
    assert await events(world, "authenticator.removed") == [("ok", None)]


# ------------------------------------------------------------------------------------------ signing in
@pytest.mark.parametrize(
    ("steps", "status"),
    [
        pytest.param(-2, 401, id="two steps before"),
        pytest.param(-1, 303, id="the step before"),
        pytest.param(0, 303, id="this step"),
        pytest.param(1, 303, id="the step after"),
        pytest.param(2, 401, id="two steps after"),
    ],
)
async def test_a_code_is_good_for_a_step_before_and_after(world: World, steps: int, status: int) -> None:
    secret, _ = await with_app(world)
    world.clock.advance(minutes=5)
    browser = world.browser()
    answer = await give(browser, await begin_second(world, browser), code=code_at(world, secret, steps))
    assert answer.status_code == status


async def test_a_code_works_once_and_none_before_it(world: World) -> None:
    secret, _ = await with_app(world)
    first = world.browser()
    page = await begin_second(world, first)
    assert (await give(first, page, code=code_at(world, secret, 1))).status_code == 303
    second = world.browser()
    page = await begin_second(world, second)
    for steps in (1, 0, -1):
        assert_html(await give(second, page, code=code_at(world, secret, steps)), 401)
    world.clock.advance(minutes=1)
    assert (await give(second, page, code=code_at(world, secret))).status_code == 303


async def test_the_code_of_the_set_up_does_not_sign_in(world: World) -> None:
    secret, _ = await add_app(world, await world.signed_in_browser())
    browser = world.browser()
    assert_html(await give(browser, await begin_second(world, browser), code=code_at(world, secret)), 401)


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "0x1234", "-12345", "1" * 50_000]
)
async def test_what_is_no_code_is_not_right(world: World, code: str) -> None:
    await with_app(world)
    browser = world.browser()
    assert_html(await give(browser, await begin_second(world, browser), code=code), 401)


async def test_a_recovery_code_works_once_in_any_spelling(world: World) -> None:
    _, codes = await with_app(world)
    first = world.browser()
    spelled = f" {codes[0].lower().replace('-', ' ')} ".replace("0", "o").replace("1", "l")
    answer = await give(first, await begin_second(world, first), recovery_code=spelled)
    assert answer.status_code == 303
    [session] = await world.rows("SELECT methods FROM sessions ORDER BY created_at DESC LIMIT 1")
    assert session["methods"] == "pwd otp mfa"
    assert "<b>9 of 10</b>" in (await first.get(SECURITY)).text
    assert await events(world, "recovery_code.used") == [("ok", None)]

    second = world.browser()
    page = await begin_second(world, second)
    assert_html(await give(second, page, recovery_code=codes[0]), 401)
    assert (await give(second, page, recovery_code=codes[1])).status_code == 303


async def test_new_recovery_codes_end_the_old_ones(world: World) -> None:
    secret, old = await with_app(world)
    browser = world.browser()
    await give(browser, await begin_second(world, browser), code=code_at(world, secret))
    made = await press(browser, SECURITY, f"{SECURITY}/recovery-codes")
    assert_html(made, 200)
    new = recovery_codes_of(made.text)
    assert not set(old) & set(new)
    page = await begin_second(world, browser, at="/login?switch=true")
    assert_html(await give(browser, page, recovery_code=old[0]), 401)
    assert (await give(browser, page, recovery_code=new[0])).status_code == 303


async def test_the_recovery_codes_of_someone_else_are_not_good(world: World) -> None:
    _, codes = await with_app(world)
    mallory = await person(world, "mallory")
    await add_app(world, mallory)
    page = await begin_second(world, mallory, "mallory", at="/login?switch=true")
    assert_html(await give(mallory, page, recovery_code=codes[0]), 401)


@pytest.mark.parametrize("code", ["", "ABCDE", "ABCDE-FGHJ!", "U" * 10, "-" * 10_000, "ABCDE-FGHJK-MNPQR"])
async def test_what_is_no_recovery_code_is_not_right(world: World, code: str) -> None:
    await with_app(world)
    browser = world.browser()
    assert_html(await give(browser, await begin_second(world, browser), recovery_code=code), 401)


async def test_without_a_second_factor_there_are_no_recovery_codes(world: World) -> None:
    browser = await world.signed_in_browser()
    await add_app(world, browser)
    form = form_to((await browser.get(SECURITY)).text, f"{SECURITY}/recovery-codes")
    await press(browser, SECURITY, f"{SECURITY}/codes/remove")
    assert_html(await browser.post(form.action, data=form.fields), 400)
    assert await world.rows("SELECT * FROM recovery_codes") == []


async def test_sto_1_no_secret_stands_in_the_database(world: World) -> None:
    secret, codes = await with_app(world)
    stored = [
        await world.rows("SELECT * FROM authenticators"),
        await world.rows("SELECT * FROM recovery_codes"),
        await world.rows("SELECT * FROM audit_events"),
    ]
    for value in (secret, *codes, *(code.replace("-", "") for code in codes)):
        assert value not in str(stored)


async def test_an_app_outlives_a_change_of_secret_key(database_url: str) -> None:
    async with running_world(database_url) as world:
        await world.create_user("alice")
        secret, codes = await with_app(world)
    new_key = "another secret key, also long enough"
    async with running_world(database_url, secret_key=new_key, secret_key_previous=SECRET_KEY) as world:
        world.clock.advance(minutes=5)
        browser = world.browser()
        page = await begin_second(world, browser)
        assert (await give(browser, page, code=code_at(world, secret))).status_code == 303
        other = world.browser()
        page = await begin_second(world, other)
        assert (await give(other, page, recovery_code=codes[0])).status_code == 303
    # What was used is sealed with the new key by now; without it, no code is right.
    async with running_world(database_url, secret_key=new_key) as world:
        world.clock.advance(minutes=10)
        browser = world.browser()
        page = await begin_second(world, browser)
        assert (await give(browser, page, code=code_at(world, secret))).status_code == 303
        world.clock.advance(minutes=5)
        stranger, origin = Keys("a third secret key, long enough as well"), Origin(world.clock.now(), "test")
        [user] = await world.rows("SELECT user_id FROM authenticators")
        async with world.database.transaction() as tx:
            code = code_at(world, secret)
            assert not await one_time_codes.take(tx, stranger, user["user_id"], code, origin)


# ------------------------------------------------------------------------------------------ twenty at once
@pytest.mark.postgresql
@pytest.mark.parametrize("kind", ["code", "recovery_code"])
async def test_of_twenty_at_once_with_one_code_one_gets_in(postgres_url: str, kind: str) -> None:
    async with running_world(postgres_url, database_pool_size=AT_ONCE) as world:
        await world.create_user("alice")
        secret, codes = await with_app(world)
        typed = code_at(world, secret) if kind == "code" else codes[0]
        browsers = [world.browser() for _ in range(AT_ONCE)]
        pages = [await begin_second(world, browser) for browser in browsers]
        # Alice used them before: guessing by strangers is slowed down earlier.
        for browser in browsers:
            known = world.services.keys.hash(browser.cookies["ostiary_browser"])
            statement = "INSERT INTO devices SELECT id, :known, created_at FROM users"
            await change(world, statement, known=known)

        answers = await asyncio.gather(
            *(give(browser, page, **{kind: typed}) for browser, page in zip(browsers, pages, strict=True))
        )

        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [303] + [401] * (AT_ONCE - 1)
        assert len(await world.rows("SELECT * FROM sessions")) == 2  # with the one of the set-up


@pytest.mark.postgresql
async def test_of_twenty_at_once_in_one_sign_in_one_gets_in_and_five_are_tried(postgres_url: str) -> None:
    async with running_world(postgres_url, database_pool_size=AT_ONCE) as world:
        await world.create_user("alice")
        await with_app(world)
        browser = world.browser()
        page = await begin_second(world, browser)
        answers = await asyncio.gather(*(give(browser, page, code="000000") for _ in range(AT_ONCE // 2)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [401] * 5 + [403] * 5
