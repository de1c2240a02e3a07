"""Signing in: what a stranger learns, how often one may guess, where a form may come from. LGN-1, 2, 6, 10, 16."""

import re
import statistics
import time
from collections.abc import Awaitable, Callable

import anyio
import httpx2
import pytest

from tests.front_channel import assert_html, assert_page, change, no_effect
from tests.support.world import PASSWORD, World, forms_of, running_world

MakeWorld = Callable[..., Awaitable[World]]
WRONG = "wrong horse battery"
SAMPLES = 200
TRIES = 10


async def form_of(browser: httpx2.AsyncClient) -> dict[str, str]:
    """The hidden fields of the sign-in form."""
    return next(
        form.fields for form in forms_of((await browser.get("/login")).text) if "password" in form.fields
    )


async def attempt(world: World, username: str, password: str, source: str = "203.0.113.7") -> httpx2.Response:
    """Sign in from a browser that is new."""
    return await world.sign_in(world.browser(source), username, password)


def without_tokens(page: str, username: str) -> str:
    """A page without what is different each time."""
    drawn = r'(name="csrf_token" value=|nonce=)"[^"]*"|challenge&#34;: &#34;[^&]*'
    return re.sub(drawn, "", page).replace(username, "…")


async def test_lgn_1_a_stranger_cannot_tell_which_names_exist(world: World) -> None:
    await world.create_user("carol")
    await change(world, "UPDATE users SET disabled_at = created_at WHERE username = 'carol'")
    attempts = {"alice": WRONG, "nobdy": WRONG, "carol": PASSWORD, "caroł": WRONG}
    async with no_effect(world):
        answers = {name: await attempt(world, name, password) for name, password in attempts.items()}

    assert {answer.status_code for answer in answers.values()} == {401}
    pages = {without_tokens(answer.text, name) for name, answer in answers.items()}
    assert len(pages) == 1
    assert {len(answers[name].content) for name in ("alice", "nobdy", "carol")} == {
        len(answers["alice"].content)
    }
    assert len({tuple(sorted(answer.headers.keys())) for answer in answers.values()}) == 1
    for answer in answers.values():
        assert_html(answer, 401)
        assert "ostiary_session" not in answer.cookies


async def test_lgn_1_a_stranger_cannot_tell_names_apart_by_the_limit(world: World) -> None:
    answers: dict[str, list[httpx2.Response]] = {}
    for name in ("alice", "nobdy"):
        browser = world.browser(f"203.0.113.{len(answers)}")
        answers[name] = [await world.sign_in(browser, name, WRONG) for _ in range(TRIES + 2)]
    assert [answer.status_code for answer in answers["alice"]] == [
        answer.status_code for answer in answers["nobdy"]
    ]
    assert {without_tokens(answers[name][-1].text, name) for name in answers} == {
        without_tokens(answers["alice"][-1].text, "alice")
    }


async def test_lgn_1_a_stranger_cannot_tell_names_apart_by_the_time(sqlite_url: str) -> None:
    """The processor's time of the whole process: other processes of the machine don't count."""
    async with running_world(sqlite_url, hash_cost=None) as world:
        names = {kind: [f"{kind}{number:02}" for number in range(20)] for kind in ("known", "exile", "ghost")}
        for name in names["known"] + names["exile"]:
            await world.create_user(name)
        await change(world, "UPDATE users SET disabled_at = created_at WHERE username LIKE 'exile%'")
        samples: dict[str, list[float]] = {kind: [] for kind in names}
        for number in range(SAMPLES):
            # Few guesses for each name and each address, so that no limit answers instead.
            browser = world.browser(f"198.51.100.{number // 10}")
            form = await form_of(browser)
            for kind, people in names.items():
                if kind == "exile" and number % 4:
                    continue
                data = {**form, "username": people[number % 20], "password": WRONG}
                started = time.process_time()
                answer = await browser.post("/login", data=data)
                samples[kind].append(time.process_time() - started)
                assert answer.status_code == 401
    medians = {kind: statistics.median(values) for kind, values in samples.items()}
    for kind in ("exile", "ghost"):
        assert medians[kind] == pytest.approx(medians["known"], rel=0.1), medians


@pytest.mark.parametrize(
    ("username", "password"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("alice", "", id="no password"),
        pytest.param("alice", PASSWORD + " ", id="one space more"),
        pytest.param("alice", PASSWORD.upper(), id="other case"),
        pytest.param("alice", PASSWORD + "\x00", id="NUL after the password"),
        pytest.param("alice\x00", PASSWORD, id="NUL after the name"),
        pytest.param("alice' --", PASSWORD, id="quote"),
        pytest.param("%", PASSWORD, id="wildcard"),
        pytest.param("alice", "x" * 100_000, id="long password"),
        pytest.param("a" * 100_000, PASSWORD, id="long name"),
        pytest.param("ąlice", "\u202e\ud7ff🚪", id="letters outside ASCII"),
        pytest.param('"><script>alert(1)</script>', "x", id="markup"),
    ],
)
async def test_what_is_not_right_signs_nobody_in(world: World, username: str, password: str) -> None:
    async with no_effect(world):
        answer = await attempt(world, username, password)
    assert 400 <= answer.status_code < 500
    assert "location" not in answer.headers
    if len(password) > 1:
        assert password not in answer.text
    if "<" in username:
        assert username not in answer.text


@pytest.mark.parametrize("missing", ["username", "password"])
async def test_a_form_without_a_field_signs_nobody_in(world: World, missing: str) -> None:
    browser = world.browser()
    data = {**await form_of(browser), "username": "alice", "password": PASSWORD}
    del data[missing]
    async with no_effect(world):
        answer = await browser.post("/login", data=data)
    assert 400 <= answer.status_code < 500


async def test_a_failed_sign_in_is_on_record_without_the_password(world: World) -> None:
    await attempt(world, "alice", WRONG)
    events = await world.rows("SELECT * FROM audit_events")
    refused = [event for event in events if event["outcome"] != "ok"]
    assert len(refused) == 1
    assert refused[0]["source"] == "203.0.113.7"
    assert WRONG not in str(events)


async def test_lgn_2_too_many_wrong_tries_slow_down_whoever_tries(world: World) -> None:
    attacker = world.browser("198.51.100.66")
    answers = [await world.sign_in(attacker, "alice", WRONG) for _ in range(TRIES + 5)]
    assert [answer.status_code for answer in answers] == [401] * TRIES + [429] * 5
    assert int(answers[-1].headers["retry-after"]) > 0
    assert_html(answers[-1], 429)
    with_the_right_one = await world.sign_in(attacker, "alice", PASSWORD)
    assert with_the_right_one.status_code == 429
    assert await world.rows("SELECT * FROM sessions") == []


async def test_lgn_2_guesses_that_are_sent_at_once_are_counted_too(world: World) -> None:
    attacker = world.browser("198.51.100.66")
    form = await form_of(attacker)
    statuses: list[int] = []

    async def guess() -> None:
        answer = await attacker.post("/login", data={**form, "username": "alice", "password": WRONG})
        statuses.append(answer.status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(TRIES * 2):
            tasks.start_soon(guess)
    assert sorted(statuses) == [401] * TRIES + [429] * TRIES


async def test_lgn_2_nobody_locks_somebody_out_of_a_known_device(world: World) -> None:
    device = await world.signed_in_browser()
    form = forms_of((await device.get("/logout")).text)[0]
    await device.post(form.action, data=form.fields)
    for source in range(7):
        attacker = world.browser(f"198.51.100.{source}")
        for _ in range(TRIES):
            answer = await world.sign_in(attacker, "alice", WRONG)
    assert answer.status_code == 429
    assert (await attempt(world, "alice", PASSWORD, "192.0.2.9")).status_code == 429

    assert (await world.sign_in(device, "alice")).status_code == 303


async def test_lgn_2_a_known_device_may_not_guess_without_end_either(world: World) -> None:
    device = await world.signed_in_browser()
    form = forms_of((await device.get("/logout")).text)[0]
    await device.post(form.action, data=form.fields)
    answers = [await world.sign_in(device, "alice", WRONG) for _ in range(TRIES + 3)]
    assert answers[-1].status_code == 429


async def test_lgn_2_a_device_that_somebody_else_knows_helps_nobody(world: World) -> None:
    await world.create_user("mallory")
    device = await world.signed_in_browser("mallory")
    form = forms_of((await device.get("/logout")).text)[0]
    await device.post(form.action, data=form.fields)
    for source in range(6):
        attacker = world.browser(f"198.51.100.{source}")
        for _ in range(TRIES):
            await world.sign_in(attacker, "alice", WRONG)
    assert (await world.sign_in(device, "alice", PASSWORD)).status_code == 429


async def test_lgn_2_another_person_is_not_slowed_down(world: World) -> None:
    await world.create_user("bob")
    attacker = world.browser("198.51.100.66")
    for _ in range(TRIES + 1):
        await world.sign_in(attacker, "alice", WRONG)
    assert (await attempt(world, "bob", PASSWORD, "198.51.100.66")).status_code == 303


async def test_lgn_2_one_address_that_tries_many_names_is_slowed_down(sqlite_url: str) -> None:
    async with running_world(sqlite_url) as world:
        await world.create_user("alice")
        attacker = world.browser("198.51.100.66")
        statuses = [(await world.sign_in(attacker, f"name{n}", WRONG)).status_code for n in range(120)]
        assert statuses[-1] == 429
        assert (await attempt(world, "alice", PASSWORD, "198.51.100.67")).status_code == 303


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(None, id="LGN-6 no token"),
        pytest.param("", id="LGN-6 empty"),
        pytest.param("x" * 43, id="LGN-6 made up"),
        pytest.param("żółw", id="LGN-6 letters outside ASCII"),
        pytest.param("\x00", id="LGN-6 NUL"),
    ],
)
async def test_a_sign_in_without_the_forms_token_is_refused(world: World, token: str | None) -> None:
    browser = world.browser()
    data = {**await form_of(browser), "username": "alice", "password": PASSWORD}
    del data["csrf_token"]
    async with no_effect(world):
        answer = await browser.post("/login", data=data if token is None else {**data, "csrf_token": token})
    assert_page(answer, status=403)


async def test_lgn_6_the_token_of_another_browser_is_refused(world: World) -> None:
    attackers = await form_of(world.browser("198.51.100.66"))
    for victim in (world.browser(), world.browser()):
        async with no_effect(world):
            answer = await victim.post(
                "/login", data={**attackers, "username": "alice", "password": PASSWORD}
            )
        assert_page(answer, status=403)
        await victim.get("/login")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"origin": "https://evil.example"}, id="LGN-6 other origin"),
        pytest.param({"origin": "http://localhost:8001"}, id="LGN-6 other port"),
        pytest.param({"origin": "http://localhost:8000.evil.example"}, id="LGN-6 longer origin"),
        pytest.param({"sec-fetch-site": "cross-site"}, id="LGN-6 cross-site"),
        pytest.param({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, id="LGN-6 both"),
    ],
)
async def test_a_sign_in_from_another_origin_is_refused(world: World, headers: dict[str, str]) -> None:
    browser = world.browser()
    data = {**await form_of(browser), "username": "alice", "password": PASSWORD}
    async with no_effect(world):
        answer = await browser.post("/login", data=data, headers=headers)
    assert_page(answer, status=403)


async def test_a_sign_in_from_the_own_origin_works(world: World) -> None:
    browser = world.browser()
    data = {**await form_of(browser), "username": "alice", "password": PASSWORD}
    headers = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    assert (await browser.post("/login", data=data, headers=headers)).status_code == 303


async def test_lgn_10_somebody_who_is_disabled_is_out_at_once(world: World) -> None:
    browser = await world.signed_in_browser()
    await change(world, "UPDATE users SET disabled_at = created_at")
    parked = await world.authorize(browser, await world.register())
    assert parked.headers["location"].startswith("/login")
    answer = await attempt(world, "alice", PASSWORD)
    assert answer.status_code == 401
    assert "disabled" not in answer.text.lower()


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("admin", "admin"),
        ("admin", "password"),
        ("admin", ""),
        ("root", "root"),
        ("ostiary", "ostiary"),
        ("", ""),
    ],
)
async def test_lgn_16_nobody_exists_before_somebody_is_made(
    make_world: MakeWorld, username: str, password: str
) -> None:
    world = await make_world()
    assert await world.rows("SELECT * FROM users") == []
    assert (await attempt(world, username, password)).status_code >= 400
    assert await world.rows("SELECT * FROM sessions") == []


@pytest.mark.parametrize(
    "query",
    [
        "next=https://evil.example/",
        "next=//evil.example",
        "return_to=https://evil.example/",
        "redirect_uri=https://evil.example/",
        "request=https://evil.example/",
        "request=//evil.example",
        "request=..%2f..%2flogout",
        "request=%00",
        "request=%0d%0aLocation:%20https://evil.example",
        "request=x&request=y",
    ],
)
async def test_signing_in_leads_nowhere_else(world: World, query: str) -> None:
    browser = world.browser()
    page = await browser.get(f"/login?{query}")
    assert page.status_code < 500
    if page.status_code != 200:
        assert_page(page)
        return
    answer = await world.sign_in(browser, at=f"/login?{query}")
    assert answer.status_code < 500
    assert re.fullmatch(r"(/[^/\\].*|/)?", answer.headers.get("location", ""))
