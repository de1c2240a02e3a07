"""The second step of a sign-in: where it leads, what stops it, how often one may try, and who must have one."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.accounts import people, store
from app.audit import Origin
from tests.command_line import command_line
from tests.factors import (
    CODES,
    NEW_PASSKEY,
    SECOND,
    SECURITY,
    WITH_PASSKEY,
    add_app,
    add_passkey,
    begin_second,
    code_at,
    events,
    give,
    options_of,
    second_step,
    sign_in_with,
)
from tests.front_channel import assert_html, change, no_effect
from tests.support.authenticator import PRESENT, Authenticator
from tests.support.world import World, answer_of
from tests.test_access_tokens import segments
from tests.working_pages import person, press

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def secret(world: World) -> str:
    """The secret of alice's app; its first code is used, and nobody is signed in."""
    made, _ = await add_app(world, await world.signed_in_browser())
    await change(world, "DELETE FROM sessions")
    await change(world, "DELETE FROM devices")
    world.clock.advance(seconds=30)
    return made


# ------------------------------------------------------------------------------------------ where it leads
async def test_the_password_alone_signs_nobody_in(world: World, secret: str) -> None:
    browser = world.browser()
    async with no_effect(world):
        page = await begin_second(world, browser)
    assert_html(page, 200)
    assert "ostiary_session" not in browser.cookies
    assert (await browser.get(SECURITY)).headers["location"].startswith("/login")


async def test_the_code_ends_it_under_a_new_session(world: World, secret: str) -> None:
    browser = world.browser()
    page = await begin_second(world, browser)
    answer = await give(browser, page, code=code_at(world, secret))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    [session] = await world.rows("SELECT methods FROM sessions")
    assert session["methods"] == "pwd otp mfa"
    assert await world.rows("SELECT * FROM pending_sign_ins") == []
    # Nothing is left to be sent again.
    assert_html(await give(browser, page, code=code_at(world, secret, 1)), 400)

    before = browser.cookies["ostiary_session"]
    page = await begin_second(world, browser, at="/login?switch=true")
    await give(browser, page, code=code_at(world, secret, 1))
    assert browser.cookies["ostiary_session"] != before
    assert len(await world.rows("SELECT * FROM sessions")) == 1


async def test_lgn_13_two_tabs_go_on_to_their_own_questions(world: World, secret: str) -> None:
    browser, client = world.browser(), await world.register()
    parked = [(await world.authorize(browser, client)).headers["location"] for _ in range(2)]
    pages = [await begin_second(world, browser, at=address) for address in parked]
    for steps, (address, page) in enumerate(zip(parked, pages, strict=True)):
        assert "“<bdi>Test App</bdi>”" in page.text
        answer = await give(browser, page, code=code_at(world, secret, steps))
        assert answer.headers["location"] == f"/consent/{address.partition('request=')[2]}"
    decided = await world.decide(browser, answer.headers["location"])
    assert "code=" in decided.headers["location"]


async def test_a_page_of_ours_comes_after_it(world: World, secret: str) -> None:
    browser = world.browser()
    page = await begin_second(world, browser, at="/login?next=/account/sessions")
    answer = await give(browser, page, code=code_at(world, secret))
    assert answer.headers["location"] == "/account/sessions"


async def test_a_device_comes_after_it(world: World, secret: str) -> None:
    browser = world.browser()
    page = await begin_second(world, browser, at="/login?device=WDJB-MJHT")
    answer = await give(browser, page, code=code_at(world, secret))
    assert answer.headers["location"] == "/device?user_code=WDJB-MJHT"


async def test_a_new_sign_in_that_an_app_demands_has_both_steps(world: World, secret: str) -> None:
    browser, client = world.browser(), await world.register()
    await give(browser, await begin_second(world, browser), code=code_at(world, secret))
    world.clock.advance(minutes=1)
    asked = await world.authorize(browser, client, prompt="login", scope="openid")
    page = await begin_second(world, browser, at=asked.headers["location"])
    assert (await browser.get(asked.headers["location"])).status_code == 200
    answer = await give(browser, page, code=code_at(world, secret))
    assert answer.headers["location"].startswith("/consent/")
    decided = await world.decide(browser, answer.headers["location"])
    tokens = (await world.redeem(client, answer_of(decided.headers["location"])["code"])).json()
    assert segments(tokens["id_token"])[1]["amr"] == ["pwd", "otp", "mfa"]


@pytest.mark.parametrize("flags", [PRESENT, PRESENT | 4])
async def test_a_passkey_ends_it_whether_it_recognised_its_owner_or_not(world: World, flags: int) -> None:
    passkey, browser = Authenticator(), world.browser()
    await add_passkey(await world.signed_in_browser(), passkey)
    page = await begin_second(world, browser)
    asked = options_of(page.text, SECOND)
    assert [entry["id"] for entry in asked["allowCredentials"]] == [asked["allowCredentials"][0]["id"]]
    passkey.flags = flags
    answer = await give(browser, page, credential=passkey.get(asked))
    assert answer.status_code == 303
    [session] = await world.rows("SELECT methods FROM sessions ORDER BY last_seen_at DESC, methods LIMIT 1")
    assert session["methods"] == "pwd hwk mfa"


# ------------------------------------------------------------------------------------------ what stops it
async def disable(world: World) -> None:
    """The operator keeps alice out."""
    await change(world, "UPDATE users SET disabled_at = created_at")


async def change_password(world: World) -> None:
    """Alice gets another password."""
    origin = Origin(world.clock.now(), "test")
    async with world.database.transaction() as tx:
        [row] = await world.rows("SELECT id FROM users")
        user = await store.find_user(tx, row["id"])
        assert user is not None
        await people.reset_password(tx, world.services.passwords, user, "another password", origin)


async def wait(world: World) -> None:
    """Ten minutes pass."""
    world.clock.advance(minutes=10)


@pytest.mark.parametrize("happens", [disable, change_password, wait])
async def test_what_happens_between_the_steps_stops_it(
    world: World, secret: str, happens: Callable[[World], Awaitable[None]]
) -> None:
    browser = world.browser()
    page = await begin_second(world, browser)
    await happens(world)
    assert_html(await give(browser, page, code=code_at(world, secret)), 400)
    assert (await world.counts())["sessions"] == 0


async def test_it_waits_in_the_browser_that_began_it(world: World, secret: str) -> None:
    """The attack: a password that was found out, and a victim who is brought to type the code."""
    attacker, victim = world.browser(), world.browser()
    page = await begin_second(world, attacker)
    address = str(page.url)
    await victim.get("/login")
    assert_html(await victim.get(address), 400)
    form = second_step(page.text, "code")
    answer = await victim.post(form.action, data={**form.fields, "code": code_at(world, secret)})
    assert_html(answer, 403)
    assert (await world.counts())["sessions"] == 0


@pytest.mark.parametrize(
    "changes", [{"csrf_token": ""}, {"csrf_token": "x" * 43}, {"sign_in": "sign_in_x"}, {"sign_in": "\x00"}]
)
async def test_a_form_that_was_not_made_here_does_nothing(
    world: World, secret: str, changes: dict[str, str]
) -> None:
    browser = world.browser()
    form = second_step((await begin_second(world, browser)).text, "code")
    data = {**form.fields, "code": code_at(world, secret), **changes}
    assert_html(await browser.post(form.action, data=data), 403)


async def test_there_is_no_second_step_without_a_first(world: World) -> None:
    for address in (SECOND, f"{SECOND}?sign_in=x", f"{SECOND}?sign_in=%00"):
        assert_html(await world.browser().get(address), 400)


async def test_what_was_signed_to_sign_in_is_no_second_factor(world: World) -> None:
    passkey, browser = Authenticator(), world.browser()
    await add_passkey(await world.signed_in_browser(), passkey)
    page = await begin_second(world, browser)
    alone = options_of((await browser.get("/login")).text, WITH_PASSKEY)
    assert_html(await give(browser, page, credential=passkey.get(alone)), 401)
    assert await events(world, "user.second_factor_refused") == [("access_denied", "challenge")]


async def test_the_passkey_of_someone_else_is_no_second_factor(world: World) -> None:
    passkey, other, browser = Authenticator(), Authenticator(), world.browser()
    await add_passkey(await world.signed_in_browser(), passkey)
    await add_passkey(await person(world, "mallory"), other)
    page = await begin_second(world, browser)
    assert_html(await give(browser, page, credential=other.get(options_of(page.text, SECOND))), 401)
    assert await events(world, "user.second_factor_refused") == [("access_denied", "unknown_passkey")]


async def test_lgn_1_a_wrong_password_tells_nothing_of_a_second_factor(world: World, secret: str) -> None:
    await world.create_user("carol")
    answers = [await world.sign_in(world.browser(), name, "wrong horse") for name in ("alice", "carol")]
    assert {answer.status_code for answer in answers} == {401}
    assert len(answers[0].content) == len(answers[1].content)


# ------------------------------------------------------------------------------------------ how often
async def test_a_sign_in_has_five_tries(world: World, secret: str) -> None:
    browser = world.browser()
    page = await begin_second(world, browser)
    answers = [await give(browser, page, code="000000") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401] * 5
    used_up = await give(browser, page, code=code_at(world, secret))
    assert_html(used_up, 403)
    assert "Sign in again" in used_up.text
    reasons = await events(world, "user.second_factor_refused")
    assert reasons == [("access_denied", "wrong_code")] * 5 + [("access_denied", "tries_used_up")]
    # Whoever knows the password begins anew.
    page = await begin_second(world, browser)
    assert (await give(browser, page, code=code_at(world, secret))).status_code == 303


async def test_lgn_2_who_guesses_codes_is_slowed_down_and_a_known_browser_is_not(
    world: World, secret: str
) -> None:
    known = world.browser()
    assert (
        await give(known, await begin_second(world, known), code=code_at(world, secret))
    ).status_code == 303
    world.clock.advance(seconds=30)
    statuses = []
    for number in range(3):
        attacker = world.browser(f"198.51.100.{number}")
        page = await begin_second(world, attacker)
        statuses += [(await give(attacker, page, code="000000")).status_code for _ in range(4)]
    assert statuses == [401] * 10 + [429] * 2
    slowed = await give(attacker, page, code=code_at(world, secret))
    assert_html(slowed, 429)
    assert int(slowed.headers["retry-after"]) > 0

    page = await begin_second(world, known, at="/login?switch=true")
    assert (await give(known, page, code=code_at(world, secret))).status_code == 303


# ------------------------------------------------------------------------------------------ who must have one
@pytest.mark.parametrize("rights", [{"is_admin": True}, {"is_auditor": True}])
async def test_operators_are_led_to_a_second_factor_before_their_pages(
    make_world: MakeWorld, rights: dict[str, bool]
) -> None:
    world = await make_world(second_factor="operators")
    browser = await person(world, "root", **rights)
    assert (await browser.get("/account/sessions")).status_code == 200
    sent = await browser.get("/admin/keys")
    assert sent.headers["location"] == "/account/security/start?next=/admin/keys"
    start = await browser.get(sent.headers["location"])
    assert "Whoever runs this server" in start.text

    _, added = await add_app(world, browser, page=f"{CODES}?next=/admin/keys")
    assert 'href="/admin/keys"' in added.text
    assert (await browser.get("/admin/keys")).status_code == 200
    assert (await browser.get(sent.headers["location"])).headers["location"] == "/admin/keys"


async def test_operators_who_change_something_need_a_second_factor_too(make_world: MakeWorld) -> None:
    world = await make_world(second_factor="operators")
    browser = await person(world, "root", is_admin=True)
    answer = await browser.post("/admin/keys/rotate", data={"csrf_token": "x"})
    assert answer.headers["location"] == "/account/security/start"


async def test_nobody_else_is_asked_where_operators_are(make_world: MakeWorld) -> None:
    world = await make_world(second_factor="operators")
    browser = await person(world, "bob")
    assert (await browser.get("/account/security/start?next=/account/sessions")).headers["location"] == (
        "/account/sessions"
    )


async def test_an_operator_who_has_one_shows_it(make_world: MakeWorld) -> None:
    world = await make_world(second_factor="operators")
    early = await person(world, "root", is_admin=True)
    passkey = Authenticator()
    # Her early session stays, as those that are older than the rule that ends them.
    await change(world, "UPDATE sessions SET methods = 'fed mfa'")
    await add_passkey(await world.signed_in_browser("root"), passkey)
    await change(world, "UPDATE sessions SET methods = 'pwd' WHERE methods = 'fed mfa'")
    sent = await early.get("/account/security/start?next=/admin/keys")
    assert sent.headers["location"] == "/login?switch=true&next=%2Fadmin%2Fkeys"
    answer = await sign_in_with(early, passkey, at=sent.headers["location"])
    assert answer.headers["location"] == "/admin/keys"
    assert (await early.get("/admin/keys")).status_code == 200


async def test_everyone_is_led_to_a_second_factor_before_an_app_gets_anything(
    make_world: MakeWorld,
) -> None:
    world = await make_world(second_factor="everyone")
    await world.create_user("alice")
    browser, client = world.browser(), await world.register()
    parked = (await world.authorize(browser, client)).headers["location"]
    request_id = parked.partition("request=")[2]

    signed_in = await world.sign_in(browser, at=parked)

    start = signed_in.headers["location"]
    assert start == f"/account/security/start?request={request_id}"
    assert "Everyone here" in (await browser.get(start)).text
    # There is no way around it.
    assert (await browser.get(f"/consent/{request_id}")).headers["location"] == parked
    assert (await browser.get(parked)).status_code == 200
    assert (await browser.get("/device")).headers["location"].startswith("/login")
    assert (await browser.get("/account/sessions")).headers["location"] == (
        "/account/security/start?next=/account/sessions"
    )
    assert_html(await browser.post(f"/consent/{request_id}", data={"decision": "approve"}), 403)

    answer = await add_passkey(browser, Authenticator(), page=f"{NEW_PASSKEY}?request={request_id}")
    assert f'href="/consent/{request_id}"' in answer.text
    assert "code=" in (await world.decide(browser, f"/consent/{request_id}")).headers["location"]


async def test_the_last_second_factor_stays_where_one_is_demanded(make_world: MakeWorld) -> None:
    world = await make_world(second_factor="everyone")
    await world.create_user("alice")
    browser = world.browser()
    await world.sign_in(browser)
    await add_app(world, browser)
    assert_html(await press(browser, SECURITY, f"{SECURITY}/codes/remove"), 400)
    assert len(await world.rows("SELECT * FROM authenticators")) == 1

    await add_passkey(browser, Authenticator())
    assert (await press(browser, SECURITY, f"{SECURITY}/codes/remove")).status_code == 303
    assert await world.rows("SELECT * FROM authenticators") == []
    assert len(await world.rows("SELECT * FROM recovery_codes")) == 10


# ------------------------------------------------------------------------------------------ who lost it
async def test_the_operator_helps_who_lost_everything(world: World, secret: str, tmp_path: Path) -> None:
    browser = world.browser()
    page = await begin_second(world, browser)
    await give(browser, page, code=code_at(world, secret))
    waiting = world.browser()
    page = await begin_second(world, waiting)
    cli = command_line(world.settings.database_url, tmp_path)

    shown = (await cli.quickly("users", "reset-second-factor", "alice", "--json")).data

    assert shown["username"] == "alice"
    for table in ("passkeys", "authenticators", "recovery_codes", "pending_sign_ins", "sessions"):
        assert await world.rows(f"SELECT * FROM {table}") == []  # noqa: S608
    assert await events(world, "user.second_factor_reset") == [("ok", None)]
    assert_html(await give(waiting, page, code=code_at(world, secret, 1)), 400)
    assert (await world.sign_in(world.browser())).headers["location"] == "/"
