"""The second click on the button of the second step gets what the first got, for a moment. LGN."""

import asyncio

import httpx2
import pytest

from tests.factors import (
    SECOND,
    add_app,
    add_passkey,
    begin_second,
    code_at,
    events,
    options_of,
    recovery_codes_of,
    second_step,
)
from tests.front_channel import assert_html, change
from tests.support.authenticator import Authenticator
from tests.support.world import World

AT_ONCE = 5


class Step:
    """The second step of alice's sign-in, with a form that was filled in."""

    def __init__(self, world: World, browser: httpx2.AsyncClient, fields: dict[str, str]) -> None:
        self.world, self.browser, self.fields = world, browser, fields
        self._cookies = dict(browser.cookies)

    async def click(self, **changes: str) -> httpx2.Response:
        """Send it as the browser was when the page came: the answers to earlier clicks never reached it."""
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        data = {**self.fields, **changes}
        return await self.world.browser().post(SECOND, data=data, headers={"cookie": cookie})


async def prepare(world: World, kind: str = "code", at: str = "/login") -> Step:
    """A right code, recovery code or passkey, not sent yet."""
    owner, passkey = await world.signed_in_browser(), Authenticator()
    secret, shown = await add_app(world, owner)
    if kind == "credential":
        await add_passkey(owner, passkey)
    await change(world, "DELETE FROM sessions")
    await change(world, "DELETE FROM devices")
    world.clock.advance(seconds=30)
    browser = world.browser()
    page = await begin_second(world, browser, at=at)
    typed = {
        "code": lambda: code_at(world, secret),
        "recovery_code": lambda: recovery_codes_of(shown.text)[0],
        "credential": lambda: passkey.get(options_of(page.text, SECOND)),
    }[kind]()
    return Step(world, browser, {**second_step(page.text, kind).fields, kind: typed})


def session_of(answer: httpx2.Response) -> str:
    """The session that an answer starts."""
    return answer.cookies["ostiary_session"]


@pytest.mark.parametrize("kind", ["code", "recovery_code", "credential"])
async def test_the_same_form_has_the_same_answer(world: World, kind: str) -> None:
    step = await prepare(world, kind, at="/login?next=/account/sessions")
    first, again = await step.click(), await step.click()
    assert first.status_code == again.status_code == 303
    assert first.headers["location"] == again.headers["location"] == "/account/sessions"
    assert session_of(first) == session_of(again)
    assert len(await world.rows("SELECT id_hash FROM sessions")) == 1
    assert await events(world, "user.second_factor_refused") == []
    step.browser.cookies.set("ostiary_session", session_of(again))
    assert (await step.browser.get("/account/sessions")).status_code == 200


async def test_it_leads_to_the_question_of_the_app_again(world: World) -> None:
    parked = world.browser()
    request = (await world.authorize(parked, await world.register())).headers["location"]
    owner = await world.signed_in_browser()
    secret, _ = await add_app(world, owner)
    world.clock.advance(seconds=30)
    page = await begin_second(world, parked, at=request)
    step = Step(world, parked, {**second_step(page.text, "code").fields, "code": code_at(world, secret)})
    first, again = await step.click(), await step.click()
    assert first.headers["location"] == again.headers["location"]
    assert again.headers["location"].startswith("/consent/")


async def test_many_at_once_sign_in_once(world: World) -> None:
    step = await prepare(world)
    answers = await asyncio.gather(*(step.click() for _ in range(AT_ONCE)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({session_of(answer) for answer in answers}) == 1
    assert len(await world.rows("SELECT id_hash FROM sessions")) == 1
    assert await events(world, "user.second_factor_refused") == []


@pytest.mark.parametrize("changes", [{"code": "000000"}, {"code": ""}, {"recovery_code": "x"}])
async def test_another_form_comes_too_late(world: World, changes: dict[str, str]) -> None:
    step = await prepare(world)
    await step.click()
    assert_html(await step.click(**changes), 400)


async def test_after_ten_seconds_it_is_over(world: World) -> None:
    step = await prepare(world)
    await step.click()
    world.clock.advance(seconds=10)
    refused = await step.click()
    assert_html(refused, 400)
    assert "ostiary_session" not in refused.cookies


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM sessions", "UPDATE users SET disabled_at = created_at"],
    ids=["out", "disabled"],
)
async def test_a_session_that_ended_is_not_given_again(world: World, statement: str) -> None:
    step = await prepare(world)
    await step.click()
    await change(world, statement)
    assert_html(await step.click(), 400)


async def test_another_browser_has_no_use_of_it(world: World) -> None:
    step = await prepare(world)
    await step.click()
    other = world.browser()
    await other.get("/login")
    assert_html(await other.post(SECOND, data=step.fields), 403)


async def test_codes_are_not_guessed_on_this_way(world: World) -> None:
    step = await prepare(world)
    await step.click()
    for number in range(10):
        assert_html(await step.click(code=f"{number:06}"), 400)
    assert_html(await step.click(), 400)
