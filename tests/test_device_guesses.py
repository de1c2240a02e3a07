"""Guessing user codes: what is counted, for whom, and what everybody is told. OPT-10."""

import asyncio
from collections.abc import Sequence

import httpx2
import pytest

from tests import back_channel, device_flow
from tests.device_flow import Device, decide, type_code
from tests.front_channel import assert_html, change
from tests.support.world import World, forms_of
from tests.test_consent_page import words_of

WRONG = "BCDF-BCDF"


@pytest.fixture
async def device(world: World) -> Device:
    """A device that waits."""
    return await device_flow.begin(world, await device_flow.register(world))


@pytest.fixture
async def alice(world: World) -> httpx2.AsyncClient:
    """A browser in which alice is signed in."""
    return await world.signed_in_browser()


async def guess(browser: httpx2.AsyncClient, times: int, code: str = WRONG) -> list[int]:
    """Type a wrong code again and again."""
    return [(await type_code(browser, code)).status_code for _ in range(times)]


async def others(world: World, number: int, source: str = "203.0.113.7") -> Sequence[httpx2.AsyncClient]:
    """Browsers of further people at one address."""
    browsers = []
    for each in range(number):
        await world.create_user(f"guesser{each}")
        browsers.append(world.browser(source))
        assert (await world.sign_in(browsers[-1], f"guesser{each}")).status_code == 303
    return browsers


async def test_opt_10_after_five_wrong_codes_nothing_is_looked_at_until_the_codes_are_over(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    assert await guess(alice, 7) == [400] * 5 + [429] * 2

    refused = await type_code(alice, device.user_code)

    assert_html(refused, 429)
    assert refused.headers["retry-after"] == "600"
    assert "Too many codes were wrong. You can try again in 10 minutes." in words_of(refused.text)
    world.clock.advance(minutes=9, seconds=59)
    assert (await type_code(alice, WRONG)).status_code == 429
    world.clock.advance(seconds=1)
    fresh = await device_flow.begin(world, device.client)
    assert (await type_code(alice, fresh.user_code)).status_code == 303


async def test_opt_10_another_session_or_address_of_the_same_person_has_no_tries_of_its_own(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    await guess(alice, 5)
    elsewhere = world.browser("198.51.100.20")
    await world.sign_in(elsewhere)

    assert (await type_code(elsewhere, device.user_code)).status_code == 429


async def test_opt_10_nobody_pays_for_the_guesses_of_someone_else(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    [guesser] = await others(world, 1)
    assert await guess(guesser, 6) == [400] * 5 + [429]

    assert "You are connected" in (await decide(alice, device)).text


async def test_opt_10_right_codes_are_not_counted(world: World, alice: httpx2.AsyncClient) -> None:
    client = await device_flow.register(world)
    await guess(alice, 4)
    for _ in range(7):
        device = await device_flow.begin(world, client)
        assert "You are connected" in (await decide(alice, device)).text
    assert await guess(alice, 2) == [400, 429]


async def test_opt_10_twenty_guesses_at_once_are_five(world: World, alice: httpx2.AsyncClient) -> None:
    [form] = forms_of((await alice.get("/device")).text)
    data = {**form.fields, "user_code": WRONG}

    answers = await asyncio.gather(*(alice.post("/device", data=data) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [400] * 5 + [429] * 15


async def test_opt_10_many_people_at_one_address_are_limited_together(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    for guesser in await others(world, 4):
        await guess(guesser, 5)

    assert (await type_code(alice, device.user_code)).status_code == 429
    elsewhere = world.browser("198.51.100.20")
    await world.sign_in(elsewhere)
    assert (await type_code(elsewhere, device.user_code)).status_code == 303


async def test_opt_10_all_people_together_are_limited_wherever_they_are(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    """A hundred tries while a code lives, of 20^8: that a given code is hit has a chance of 2^-27.9."""
    now = world.clock.now() if not world.database.is_sqlite else world.clock.now().replace(tzinfo=None)
    insert = (
        "INSERT INTO audit_events (at, event, outcome, user_id) VALUES (:at, :event, 'access_denied', :who)"
    )
    for number in range(99):
        await change(world, insert, at=now, event="device.code_refused", who=f"user_{number}")
    assert await guess(alice, 2) == [400, 429]

    assert (await type_code(alice, device.user_code)).status_code == 429
    world.clock.advance(minutes=10)
    assert await guess(alice, 1) == [400]


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(None, id="unknown"),
        pytest.param("UPDATE device_authorizations SET expires_at = created_at", id="expired"),
        pytest.param(
            "UPDATE device_authorizations SET decided_at = created_at, decision = 'deny'", id="answered"
        ),
        pytest.param("UPDATE clients SET disabled_at = created_at", id="client disabled"),
        pytest.param("UPDATE clients SET document_withdrawn_at = created_at", id="description gone"),
        pytest.param("UPDATE clients SET grant_types = '[]'", id="grant given up"),
    ],
)
async def test_opt_10_whatever_is_wrong_with_a_code_is_told_in_the_same_words_and_counts(
    world: World, device: Device, alice: httpx2.AsyncClient, statement: str | None
) -> None:
    code = device.user_code if statement else WRONG
    if statement:
        await change(world, statement)

    answers = [await type_code(alice, code) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [400] * 5 + [429]
    words = words_of(answers[0].text)
    assert "That code is not right, or no longer good. Each works once, for ten minutes" in words
    assert "Television" not in answers[0].text
    [form] = forms_of(answers[0].text)
    assert form.fields["user_code"] == code


@pytest.mark.parametrize("code", ["", "WDJB", "WDJB-MJHTX", "12345678", "<script>", "é" * 5000, "\u0130" * 9])
async def test_opt_10_what_cannot_be_a_code_counts_too(alice: httpx2.AsyncClient, code: str) -> None:
    assert await guess(alice, 6, code) == [400] * 5 + [429]


async def test_a_wrong_code_is_on_record_without_the_code(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    counted = await back_channel.records_of(world)
    await change(world, "UPDATE device_authorizations SET expires_at = created_at")
    await type_code(alice, device.user_code)

    [event] = await world.rows("SELECT * FROM audit_events WHERE event = 'device.code_refused'")
    assert (event["outcome"], event["reason"]) == ("access_denied", "code_expired")
    assert event["user_id"] is not None
    assert device.user_code not in str(event)
    assert await back_channel.records_of(world) == counted + 2
