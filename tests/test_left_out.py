"""What a person leaves out at the question: the app gets the rest, and only what may be left out can be."""

import re

import httpx2
import pytest

from tests import scoped_server
from tests.support.world import World, answer_of, forms_of, running_world
from tests.test_step_up import page_of

ALL = "mcp profile email offline_access"


def boxes(page: str) -> list[str]:
    """What the page lets the person leave out."""
    return re.findall(r'name="leave_out"\s+value="([^"]*)"', page)


async def allow(browser: httpx2.AsyncClient, address: str, *left_out: str) -> httpx2.Response:
    """Tick these boxes and press Allow."""
    form = next(form for form in forms_of((await browser.get(address)).text) if form.buttons)
    data = {**form.fields, "decision": "approve", "leave_out": list(left_out)}
    return await browser.post(form.action, data=data)


async def asked(world: World, client: dict[str, object], scope: str = ALL) -> tuple[httpx2.AsyncClient, str]:
    """A browser with the question before it."""
    browser = await world.signed_in_browser()
    return browser, (await world.authorize(browser, client, scope=scope)).headers["location"]


async def test_what_everything_needs_can_not_be_left_out(world: World) -> None:
    browser, address = await asked(world, await world.register(), f"openid {ALL}")
    assert boxes((await browser.get(address)).text) == ["profile", "email", "offline_access"]


@pytest.mark.parametrize(
    ("left_out", "scope"),
    [
        ((), ALL),
        (("email",), "mcp profile offline_access"),
        (("profile", "email", "offline_access"), "mcp"),
        (("mcp",), ALL),
        (("openid", "notes:write", "", "mcp email"), ALL),
    ],
)
async def test_the_app_gets_the_rest_and_is_told(world: World, left_out: tuple[str, ...], scope: str) -> None:
    client = await world.register()
    browser, address = await asked(world, client)
    code = answer_of((await allow(browser, address, *left_out)).headers["location"])["code"]
    token = (await world.redeem(client, code)).json()
    assert token["scope"] == scope
    assert ("refresh_token" in token) == ("offline_access" in scope)
    assert (await world.call(token["access_token"])).status_code == 200


async def test_an_app_that_may_not_stay_is_gone_when_its_token_is(world: World) -> None:
    """Although it registered for refresh tokens, and without naming a scope for them."""
    client = await world.register()
    browser, address = await asked(world, client, "mcp")
    assert boxes((await browser.get(address)).text) == ["offline_access"]
    code = answer_of((await allow(browser, address, "offline_access")).headers["location"])["code"]
    assert "refresh_token" not in (await world.redeem(client, code)).json()
    world.clock.advance(minutes=26)
    browser, address = await asked(world, client, "mcp")
    assert "Let “" in (await browser.get(address)).text
    # It is asked as at the first time: nothing of it holds any more.
    assert boxes((await browser.get(address)).text) == ["offline_access"]


async def test_what_the_app_has_already_is_not_asked_again(world: World) -> None:
    client = await world.register()
    await world.tokens(client, scope="mcp profile")
    browser, address = await asked(world, client, ALL)
    assert boxes((await browser.get(address)).text) == ["email"]


async def test_what_is_left_out_at_the_next_step_stays_out(database_url: str) -> None:
    async with running_world(
        database_url, mcp_server=scoped_server.PATH, scopes=scoped_server.SCOPES
    ) as world:
        await world.create_user("alice")
        client = await world.register()
        await world.tokens(client, scope="mcp offline_access")
        browser, address, page = await page_of(world, client, "notes:read notes:write")
        assert boxes(page) == ["notes:read", "notes:write"]
        code = answer_of((await allow(browser, address, "notes:write")).headers["location"])["code"]
        token = (await world.redeem(client, code)).json()
        assert token["scope"] == "mcp offline_access notes:read"
        assert (await world.call(token["access_token"], "write_note")).status_code == 403
        (event,) = await world.rows("SELECT reason FROM audit_events WHERE event = 'grant.stepped_up'")
        assert event["reason"] == "notes:read"


async def test_leaving_everything_out_refuses(database_url: str) -> None:
    async with running_world(database_url) as world:
        await world.create_user("alice")
        client = await world.register()
        browser, address = await asked(world, client, "profile email")
        answer = await allow(browser, address, "profile", "email")
        got = answer_of(answer.headers["location"])
        # What the resource needs for everything was not asked for, so nothing is left.
        assert got["error"] == "access_denied"
        assert await world.rows("SELECT id FROM grants") == []


async def test_a_device_gets_only_what_was_left_in(world: World) -> None:
    client = await world.register(
        grant_types=["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        redirect_uris=[],
        response_types=[],
    )
    form = {"client_id": client["client_id"], "scope": ALL}
    device = (await world.http.post("/oauth/device_authorization", data=form)).json()
    browser = await world.signed_in_browser()
    page = await browser.get("/device", params={"user_code": device["user_code"]})
    first = forms_of(page.text)[0]
    address = (await browser.post(first.action, data=first.fields)).headers["location"]
    assert boxes((await browser.get(address)).text) == ["profile", "email", "offline_access"]
    await allow(browser, address, "email", "offline_access")
    poll = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": device["device_code"],
        "client_id": client["client_id"],
    }
    token = (await world.http.post("/oauth/token", data=poll)).json()
    assert token["scope"] == "mcp profile"
    assert "refresh_token" not in token
