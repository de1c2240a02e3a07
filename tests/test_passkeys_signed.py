"""What was signed with a passkey is good once, for ten minutes, in one browser, and no copy of it."""

import pytest

from tests.factors import (
    NEW_PASSKEY,
    WITH_PASSKEY,
    events,
    options_of,
    sign_in_with,
)
from tests.front_channel import Standing, assert_html, change
from tests.support.authenticator import (
    Authenticator,
)
from tests.support.world import World
from tests.test_passkeys import new_owner, owner
from tests.working_pages import form_to

pytest_plugins = ["tests.standing"]


@pytest.mark.parametrize(
    ("stored", "shown", "status"),
    [
        pytest.param(0, 0, 303, id="counts nothing"),
        pytest.param(0, 1, 303, id="begins to count"),
        pytest.param(7, 8, 303, id="goes up"),
        pytest.param(7, 7, 401, id="stays"),
        pytest.param(7, 6, 401, id="falls"),
        pytest.param(7, 0, 401, id="stops counting"),
    ],
)
async def test_a_counter_that_does_not_go_up_tells_of_a_copy(
    standing: Standing, stored: int, shown: int, status: int
) -> None:
    world, passkey = standing.world, Authenticator(counts=False)
    await new_owner(world, passkey)
    await change(world, "UPDATE passkeys SET sign_count = :stored", stored=stored)
    passkey.sign_count = shown
    before = len(await events(world, "user.sign_in_refused"))
    answer = await sign_in_with(world.browser(), passkey)
    assert answer.status_code == status
    refused = [("access_denied", "sign_count")] if status == 401 else []
    assert (await events(world, "user.sign_in_refused"))[before:] == refused


async def test_what_was_signed_is_good_once(world: World) -> None:
    passkey = Authenticator(counts=False)
    await owner(world, passkey)
    browser = world.browser()
    page = await browser.get("/login")
    form = form_to(page.text, WITH_PASSKEY)
    data = {**form.fields, "credential": passkey.get(options_of(page.text, WITH_PASSKEY))}
    assert (await browser.post(form.action, data=data)).status_code == 303
    assert_html(await browser.post(form.action, data=data), 401)
    assert await events(world, "user.sign_in_refused") == [("access_denied", "answered_before")]


async def test_what_was_signed_is_good_for_ten_minutes(world: World) -> None:
    passkey = Authenticator()
    await owner(world, passkey)
    browser = world.browser()
    page = await browser.get("/login")
    form, asked = form_to(page.text, WITH_PASSKEY), options_of(page.text, WITH_PASSKEY)
    world.clock.advance(minutes=10)
    answer = await browser.post(form.action, data={**form.fields, "credential": passkey.get(asked)})
    assert_html(answer, 401)


async def test_what_was_signed_is_good_in_its_browser_alone(world: World) -> None:
    """The attack: someone else's fresh assertion, brought by a browser of the attacker's, or forced on a victim's."""
    passkey = Authenticator()
    await owner(world, passkey)
    asked = options_of((await world.browser().get("/login")).text, WITH_PASSKEY)
    other = world.browser()
    form = form_to((await other.get("/login")).text, WITH_PASSKEY)
    answer = await other.post(form.action, data={**form.fields, "credential": passkey.get(asked)})
    assert_html(answer, 401)


async def test_a_challenge_to_register_signs_nobody_in(world: World) -> None:
    passkey = Authenticator()
    browser = await owner(world, passkey)
    asked = options_of((await browser.get(NEW_PASSKEY)).text, NEW_PASSKEY)
    form = form_to((await browser.get("/login?switch=true")).text, WITH_PASSKEY)
    signed = passkey.get({"rpId": "localhost", "challenge": asked["challenge"]})
    assert_html(await browser.post(form.action, data={**form.fields, "credential": signed}), 401)


@pytest.mark.parametrize("token", ["", "x" * 43])
async def test_a_sign_in_without_the_forms_token_is_refused(world: World, token: str) -> None:
    passkey = Authenticator()
    await owner(world, passkey)
    assert_html(await sign_in_with(world.browser(), passkey, csrf_token=token), 403)


async def test_lgn_10_a_passkey_of_somebody_who_is_disabled_signs_nobody_in(world: World) -> None:
    passkey = Authenticator()
    await owner(world, passkey)
    await change(world, "UPDATE users SET disabled_at = created_at")
    answer = await sign_in_with(world.browser(), passkey)
    assert_html(answer, 401)
    assert "disabled" not in answer.text
    assert await events(world, "user.sign_in_refused") == [("access_denied", "user_disabled")]
