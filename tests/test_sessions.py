"""A session from its cookie to its end, and requests that wait meanwhile. LGN-7, 8, 9, 13."""

from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie

import httpx2
import pytest

from tests.front_channel import answer_to, assert_html, assert_page, is_consent, no_effect
from tests.support.world import PASSWORD, World, forms_of

MakeWorld = Callable[..., Awaitable[World]]
WEB = "https://app.example/callback"


async def is_signed_in(browser: httpx2.AsyncClient) -> bool:
    """Whether the server knows somebody in this browser."""
    return (await browser.get("/login")).status_code == 303


async def sign_out(browser: httpx2.AsyncClient, **headers: str) -> httpx2.Response:
    """Press the button of the sign-out page."""
    form = next(form for form in forms_of((await browser.get("/logout")).text) if form.method == "post")
    return await browser.post(form.action, data=form.fields, headers=headers)


def cookies_set(answer: httpx2.Response) -> SimpleCookie:
    """The cookies of an answer with all their attributes."""
    found = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        found.load(line)
    return found


async def test_lgn_7_signing_out_ends_the_session_on_the_server(world: World) -> None:
    browser = await world.signed_in_browser()
    old = world.browser()
    for cookie in browser.cookies.jar:
        old.cookies.set(cookie.name, cookie.value or "")
    assert await is_signed_in(old)

    answer = await sign_out(browser)

    assert answer.status_code in {200, 303}
    assert await world.rows("SELECT * FROM sessions") == []
    assert not await is_signed_in(browser)
    assert not await is_signed_in(old)
    parked = await world.authorize(old, await world.register())
    assert parked.headers["location"].startswith("/login")


async def test_lgn_7_signing_out_here_leaves_the_other_device_signed_in(world: World) -> None:
    browser, other = await world.signed_in_browser(), await world.signed_in_browser()
    await sign_out(browser)
    assert await is_signed_in(other)


async def test_lgn_7_nobody_is_signed_out_without_asking(world: World) -> None:
    browser = await world.signed_in_browser()
    form = next(form for form in forms_of((await browser.get("/logout")).text) if form.method == "post")
    async with no_effect(world):
        assert_html(await browser.get("/logout"), 200)
        assert_page(await browser.post("/logout"), status=403)
        assert_page(await browser.post("/logout", data={"csrf_token": "x" * 43}), status=403)
        assert_page(
            await browser.post("/logout", data=form.fields, headers={"origin": "https://evil.example"}),
            status=403,
        )
    assert await is_signed_in(browser)


async def test_signing_out_stops_an_answer_that_is_still_open(world: World) -> None:
    browser = await world.signed_in_browser()
    address = (await world.authorize(browser, await world.register())).headers["location"]
    form = forms_of((await browser.get(address)).text)[0]
    await sign_out(browser)
    async with no_effect(world):
        answer = await browser.post(address, data={**form.fields, "decision": "approve"})
    assert "code=" not in answer.headers.get("location", "")


async def test_signing_out_twice_does_no_harm(world: World) -> None:
    browser = await world.signed_in_browser()
    form = next(form for form in forms_of((await browser.get("/logout")).text) if form.method == "post")
    for _ in range(2):
        answer = await browser.post(form.action, data=form.fields)
    assert answer.status_code < 500
    assert not await is_signed_in(browser)
    assert (await browser.get("/logout")).status_code < 400


@pytest.mark.parametrize(
    "hours", [pytest.param(12.1, id="LGN-8 idle"), pytest.param(24 * 7.1, id="LGN-8 old")]
)
async def test_a_session_that_was_left_alone_ends_and_the_request_goes_on_after_signing_in(
    world: World, hours: float
) -> None:
    client = await world.register(redirect_uris=[WEB])
    browser = await world.signed_in_browser()
    world.clock.advance(hours=hours)

    parked = await world.authorize(browser, client, state="waiting")
    assert parked.headers["location"].startswith("/login")
    signed_in = await world.sign_in(browser, at=parked.headers["location"])

    assert is_consent(signed_in)
    answer = await world.decide(browser, signed_in.headers["location"])
    assert answer_to(answer.headers["location"], WEB)["state"] == "waiting"


async def test_lgn_8_a_session_that_is_used_lasts_but_not_for_ever(world: World) -> None:
    browser = await world.signed_in_browser()
    hours = 0
    while await is_signed_in(browser):
        world.clock.advance(hours=6)
        hours += 6
        assert hours <= 24 * 30
    assert 24 <= hours <= 24 * 7


async def test_lgn_8_a_session_that_ends_at_the_question_gives_no_code(world: World) -> None:
    browser = await world.signed_in_browser()
    for _ in range(14):
        world.clock.advance(hours=11, minutes=55)
        assert await is_signed_in(browser)
    world.clock.advance(minutes=65)
    parked = await world.authorize(browser, await world.register())
    assert is_consent(parked)
    form = forms_of((await browser.get(parked.headers["location"])).text)[0]
    world.clock.advance(minutes=6)

    async with no_effect(world):
        answer = await browser.post(form.action, data={**form.fields, "decision": "approve"})

    assert "code=" not in answer.headers.get("location", "")
    assert answer.status_code in {303, 400, 403}
    assert is_consent(
        await world.sign_in(browser, at=parked.headers["location"].replace("/consent/", "/login?request="))
    )


@pytest.mark.parametrize("public_url", ["https://auth.example", "https://auth.example/door"])
async def test_lgn_9_cookies_are_out_of_the_reach_of_others(make_world: MakeWorld, public_url: str) -> None:
    world = await make_world(public_url=public_url)
    await world.create_user("alice")
    browser = world.browser()
    page = await browser.get("/login")
    form = next(form for form in forms_of(page.text) if "password" in form.fields)
    # The form says the whole path, which the client would append to that of its base.
    answer = await browser.post(
        f"https://auth.example{form.action}",
        data={**form.fields, "username": "alice", "password": PASSWORD},
    )
    assert answer.status_code == 303, answer.text
    cookies = {**cookies_set(page), **cookies_set(answer)}
    assert any("session" in name for name in cookies)
    for name, cookie in cookies.items():
        assert name.startswith("__Host-")
        assert cookie["secure"]
        assert cookie["httponly"]
        assert cookie["samesite"].lower() == "lax"
        assert cookie["path"] == "/"
        assert not cookie["domain"]


async def test_lgn_9_on_this_computer_cookies_are_kept_from_scripts_as_well(world: World) -> None:
    browser = world.browser()
    cookies = {**cookies_set(await browser.get("/login")), **cookies_set(await world.sign_in(browser))}
    assert cookies
    for cookie in cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"].lower() == "lax"
        assert not cookie["domain"]


async def test_a_session_that_somebody_else_chose_is_not_taken_over(world: World) -> None:
    attacker = await world.signed_in_browser()
    [session] = [cookie for cookie in attacker.cookies.jar if "session" in cookie.name]
    for value in (session.value or "", "ost_session_" + "x" * 43, "\"'", "x" * 5000):
        victim = world.browser()
        page = await victim.get("/login")
        form = next(form for form in forms_of(page.text) if "password" in form.fields)
        victim.cookies.set(session.name, value)
        answer = await victim.post(
            form.action, data={**form.fields, "username": "alice", "password": PASSWORD}
        )
        fresh = cookies_set(answer).get(session.name)
        assert answer.status_code in {303, 403}
        assert fresh is None or fresh.value != value


async def test_each_sign_in_is_a_session_of_its_own(world: World) -> None:
    browsers = [await world.signed_in_browser() for _ in range(3)]
    values = {
        cookie.value for browser in browsers for cookie in browser.cookies.jar if "session" in cookie.name
    }
    assert len(values) == 3
    stored = str(await world.rows("SELECT * FROM sessions"))
    assert not [value for value in values if value and value in stored]


@pytest.mark.parametrize(
    "order", [pytest.param([0, 1], id="LGN-13 first"), pytest.param([1, 0], id="LGN-13 second")]
)
async def test_two_tabs_that_wait_for_the_sign_in_each_go_on_to_their_own_question(
    world: World, order: list[int]
) -> None:
    clients = [await world.register(redirect_uris=[f"https://app{n}.example/callback"]) for n in range(2)]
    browser = world.browser()
    addresses = [
        (await world.authorize(browser, client, state=f"tab {n}")).headers["location"]
        for n, client in enumerate(clients)
    ]
    forms = []
    for address in addresses:
        page = await browser.get(address)
        forms.append(next(form for form in forms_of(page.text) if "password" in form.fields))

    consents = {}
    for tab in order:
        data = {**forms[tab].fields, "username": "alice", "password": PASSWORD}
        answer = await browser.post(forms[tab].action, data=data)
        assert is_consent(answer), answer.text
        consents[tab] = answer.headers["location"]

    assert consents[0] != consents[1]
    for tab in reversed(order):
        answer = await world.decide(browser, consents[tab])
        redirect_uri = f"https://app{tab}.example/callback"
        assert answer_to(answer.headers["location"], redirect_uri)["state"] == f"tab {tab}"


async def test_lgn_13_a_tab_that_waits_at_the_sign_in_page_goes_on_when_it_is_loaded_again(
    world: World,
) -> None:
    browser = world.browser()
    client = await world.register()
    first = (await world.authorize(browser, client, state="one")).headers["location"]
    second = (await world.authorize(browser, client, state="two")).headers["location"]
    await world.sign_in(browser, at=first)

    reloaded = await browser.get(second)

    consent = second.replace("/login?request=", "/consent/")
    assert reloaded.headers.get("location") == consent or f'href="{consent}"' in reloaded.text
    answer = await world.decide(browser, consent)
    assert "state=two" in answer.headers["location"]


async def test_a_wrong_password_in_the_middle_keeps_the_request_waiting(world: World) -> None:
    browser = world.browser()
    parked = (await world.authorize(browser, await world.register(), state="still here")).headers["location"]
    page = await world.sign_in(browser, password="wrong horse battery", at=parked)
    form = next(form for form in forms_of(page.text) if "password" in form.fields)

    answer = await browser.post(form.action, data={**form.fields, "username": "alice", "password": PASSWORD})

    assert is_consent(answer)
    decided = await world.decide(browser, answer.headers["location"])
    assert "state=still+here" in decided.headers["location"]


async def test_somebody_else_can_sign_in_in_the_middle(world: World) -> None:
    await world.create_user("bob")
    client = await world.register(redirect_uris=[WEB])
    browser = await world.signed_in_browser()
    await sign_out(browser)
    parked = await world.authorize(browser, client)
    signed_in = await world.sign_in(browser, "bob", at=parked.headers["location"])
    answer = await world.decide(browser, signed_in.headers["location"])
    tokens = await world.redeem(client, answer_to(answer.headers["location"], WEB)["code"])
    result = (await world.call(tokens.json()["access_token"])).json()["result"]["structuredContent"]
    assert result["username"] == "bob"
