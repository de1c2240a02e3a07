"""The state of a sign-in at another provider: good once, in one browser, for ten minutes."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.front_channel import assert_html
from tests.support.openid_provider import OpenIDServer
from tests.support.world import World
from tests.test_upstream import sessions
from tests.upstream import (
    BEGIN,
    VERIFIED,
    come_back,
    provider,
    sent_to,
    world_with,
)

__all__ = ["provider"]


@pytest.fixture
async def world(database_url: str, provider: OpenIDServer) -> AsyncIterator[World]:
    """People may sign in at the provider, and nobody new comes in."""
    async for made in world_with(database_url, provider):
        yield made


async def test_a_state_is_good_once_in_its_browser_and_for_ten_minutes(
    world: World, provider: OpenIDServer
) -> None:
    browser = world.browser()
    back = provider.approve(await sent_to(browser), **VERIFIED)
    # An attacker's answer in the victim's browser, which would sign the victim in as the attacker.
    assert_html(await come_back(world.browser(), back), 400)
    assert (await come_back(browser, back)).status_code == 303
    assert_html(await come_back(browser, back), 400)
    late = provider.approve(await sent_to(browser, "/login?switch=true"), **VERIFIED)
    world.clock.advance(minutes=10)
    assert_html(await come_back(browser, late), 400)
    assert await sessions(world) == [("alice", "fed")]


async def test_twenty_at_once_with_one_state_are_one_sign_in(world: World, provider: OpenIDServer) -> None:
    browser = world.browser()
    back = provider.approve(await sent_to(browser), **VERIFIED)
    parts = urlsplit(back)

    async def arrive() -> int:
        async with world.browser() as other:
            other.cookies.update(browser.cookies)
            return (await other.get(f"{parts.path}?{parts.query}")).status_code

    answers = await asyncio.gather(*(arrive() for _ in range(20)))
    assert sorted(answers) == [303] + [400] * 19
    assert await sessions(world) == [("alice", "fed")]


@pytest.mark.parametrize(
    "query", ["", "state=x", "state=", "state=%00", "state=a&state=b", "code=x&iss=y", "state=" + "x" * 5000]
)
async def test_an_answer_that_nobody_waits_for_is_a_page(
    world: World, provider: OpenIDServer, query: str
) -> None:
    browser = world.browser()
    await sent_to(browser)
    page = await browser.get(f"/login/upstream/example/callback?{query}")
    assert_html(page, 400)
    assert "Start again" in page.text


@pytest.mark.parametrize("token", ["", "x" * 43])
async def test_only_our_own_form_sends_anybody_there(
    world: World, provider: OpenIDServer, token: str
) -> None:
    browser = world.browser()
    await browser.get("/login")
    assert_html(await browser.post(BEGIN, data={"csrf_token": token}), 403)
    assert_html(await world.browser().post(BEGIN, data={"csrf_token": token}), 403)


@pytest.mark.parametrize("path", ["/login/upstream/nobody", "/login/upstream/nobody/callback?state=x"])
async def test_a_provider_that_there_is_not_is_a_page(
    world: World, provider: OpenIDServer, path: str
) -> None:
    browser = world.browser()
    answer = await (browser.get(path) if "?" in path else browser.post(path, data={}))
    assert_html(answer, 404)


async def test_a_browser_waits_for_a_few_answers_only(world: World, provider: OpenIDServer) -> None:
    browser = world.browser()
    backs = [provider.approve(await sent_to(browser), **VERIFIED) for _ in range(7)]
    assert len(await world.rows("SELECT state_hash FROM upstream_sign_ins")) == 5
    assert (await come_back(browser, backs[-1])).status_code == 303


async def test_an_app_that_demands_a_new_sign_in_gets_one(world: World, provider: OpenIDServer) -> None:
    browser = await world.signed_in_browser()
    asked = await world.authorize(browser, await world.register(), prompt="login")
    location = await sent_to(browser, asked.headers["location"])
    assert parse_qs(urlsplit(location).query)["prompt"] == ["login"]
