"""The page on which a person types a device's code and decides: the way there, what it says, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from tests import back_channel, device_flow
from tests.device_flow import Device, decide, question, type_code
from tests.front_channel import assert_html, assert_page, change
from tests.support.world import World, forms_of
from tests.test_consent_page import words_of

pytest_plugins = ["tests.device_people"]

MakeWorld = Callable[..., Awaitable[World]]


# --------------------------------------------------------------------------------------- the way there
async def test_someone_who_is_not_signed_in_signs_in_first_and_comes_back_with_the_code(
    world: World, device: Device
) -> None:
    browser = world.browser()
    sent = await browser.get(device.verification_uri_complete)
    assert sent.status_code == 303
    assert sent.headers["location"] == f"/login?device={device.user_code}"
    assert "connect a device" in words_of((await browser.get(sent.headers["location"])).text)

    back = await world.sign_in(browser, at=sent.headers["location"])

    assert back.headers["location"] == f"/device?user_code={device.user_code}"
    [form] = forms_of((await browser.get(back.headers["location"])).text)
    assert form.fields["user_code"] == device.user_code


async def test_without_a_code_one_comes_back_to_an_empty_field(world: World) -> None:
    browser = world.browser()
    sent = await browser.get("/device")

    back = await world.sign_in(browser, at=sent.headers["location"])

    assert back.headers["location"] == "/device"
    [form] = forms_of((await browser.get("/device")).text)
    assert form.fields["user_code"] == ""


async def test_a_wrong_password_on_the_way_loses_nothing(world: World, device: Device) -> None:
    browser = world.browser()
    address = f"/login?device={device.user_code}"

    refused = await world.sign_in(browser, password="wrong horse battery", at=address)

    # With the password as with a passkey.
    assert {form.fields["device"] for form in forms_of(refused.text)} == {device.user_code}


@pytest.mark.parametrize(
    "brought", ["//evil.example", "https://evil.example/", "new", '"><script>', "WDJB-MJH", "A" * 8]
)
async def test_what_is_no_code_leads_nowhere_else(world: World, brought: str) -> None:
    browser = world.browser()
    sent = await browser.get("/device", params={"user_code": brought})
    assert sent.headers["location"] == "/login?device=new"

    for at in (sent.headers["location"], str(httpx2.URL("/login", params={"device": brought}))):
        fresh = world.browser()
        assert (await world.sign_in(fresh, at=at)).headers["location"] == "/device"


async def test_whoever_is_signed_in_already_goes_on_at_once_or_signs_in_as_someone_else(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    address = f"/login?device={device.user_code}"
    assert (await alice.get(address)).headers["location"] == f"/device?user_code={device.user_code}"

    other = await alice.get(f"{address}&switch=true")
    assert_html(other, 200)
    assert f'href="/device?user_code={device.user_code}"' in other.text
    await world.create_user("bob")
    back = await world.sign_in(alice, "bob", at=f"{address}&switch=true")
    assert "bob" in words_of((await alice.get(back.headers["location"])).text).lower()


async def test_a_session_that_ended_meanwhile_is_begun_anew_with_the_code_kept(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    [form] = forms_of((await alice.get("/device")).text)
    asked = (await type_code(alice, device.user_code)).headers["location"]
    await change(world, "DELETE FROM sessions")

    typed = await alice.post("/device", data={**form.fields, "user_code": device.user_code})
    shown = await alice.get(asked)

    for answer in (typed, shown):
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/login?device={device.user_code}"


async def test_a_code_in_the_address_is_filled_in_and_nothing_happens_by_itself(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    """RFC 8628 §3.3.1, §5.4."""
    statement = "SELECT * FROM device_authorizations"
    before, events = await world.rows(statement), await back_channel.records_of(world)

    page = await alice.get(device.verification_uri_complete)

    assert_html(page, 200)
    [form] = forms_of(page.text)
    assert (form.method, form.action, form.fields["user_code"]) == ("post", "/device", device.user_code)
    assert "if you started this yourself" in words_of(page.text)
    assert "Television" not in page.text
    assert await world.rows(statement) == before
    assert await back_channel.records_of(world) == events


# --------------------------------------------------------------------------------------------- the code
@pytest.mark.parametrize(
    "spell",
    [
        pytest.param(str.lower, id="lower case"),
        pytest.param(lambda code: code.replace("-", ""), id="no dash"),
        pytest.param(lambda code: code.replace("-", " "), id="a space"),
        pytest.param(lambda code: " ".join(code), id="spaces everywhere"),
        pytest.param(lambda code: code.replace("-", "\u2013"), id="another dash"),
        pytest.param(lambda code: f"  {code}.\t", id="around it"),
        pytest.param(
            lambda code: "".join(chr(ord(sign) + 0xFEE0) for sign in code), id="letters of another width"
        ),
    ],
)
async def test_a_code_may_be_typed_in_many_ways(
    device: Device, alice: httpx2.AsyncClient, spell: Callable[[str], str]
) -> None:
    typed = await type_code(alice, spell(device.user_code))

    assert typed.status_code == 303
    page = await alice.get(typed.headers["location"])
    assert "Television" in page.text


# ------------------------------------------------------------------------------------------ the question
async def test_the_question_tells_what_the_person_can_compare(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    world.clock.advance(minutes=3)
    words = words_of((await question(alice, device)).text)

    assert "“ Television ”" in words
    assert "identity not verified" in words
    assert device.user_code in words
    assert "3 minutes ago, from 203.0.113.7 the address that you use now" in words
    assert "Did someone send you this code" in words
    assert "Use this server’s tools in your name" in words
    assert "whoami" in words
    assert "at most 90 days" in words
    [row] = await world.rows("SELECT reference FROM device_authorizations")
    assert row["reference"] in words


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "just now"), (59, "just now"), (60, "1 minute ago"), (599, "9 minutes ago")]
)
async def test_the_question_tells_how_long_ago_the_device_asked(
    world: World, device: Device, alice: httpx2.AsyncClient, seconds: int, told: str
) -> None:
    world.clock.advance(seconds=seconds)

    assert told in words_of((await question(alice, device)).text)


async def test_the_question_tells_that_the_device_is_somewhere_else(world: World, device: Device) -> None:
    elsewhere = world.browser("198.51.100.20")
    await world.sign_in(elsewhere)

    words = words_of((await question(elsewhere, device)).text)

    assert "from 203.0.113.7 not the address that you use now" in words


async def test_a_device_without_a_known_address_is_asked_about_all_the_same(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    await change(world, "UPDATE device_authorizations SET source = NULL")

    assert "from an unknown address not the address that you use now" in words_of(
        (await question(alice, device)).text
    )


async def test_a_hostile_name_is_only_a_name(world: World, alice: httpx2.AsyncClient) -> None:
    name = '"><img src=x onerror=alert(1)>'
    device = await device_flow.begin(world, await device_flow.register(world, client_name=name))

    shown, ended = await question(alice, device), await decide(alice, device)

    for page in (shown, ended):
        assert "<img" not in page.text
        assert "&lt;img" in page.text


async def test_what_the_app_has_already_stands_apart(world: World, alice: httpx2.AsyncClient) -> None:
    client = await device_flow.register(world)
    await device_flow.tokens(world, client, scope="mcp")

    words = words_of((await question(alice, await device_flow.begin(world, client, scope="email"))).text)

    assert "do more?" in words
    new, _, held = words.partition("As you allowed before")
    assert "See your e-mail address" in new
    assert "Use this server’s tools" in held
    assert "Whichever device asks now gets all of this" in held
    await decide(alice, await device_flow.begin(world, client, scope="email"))
    [event] = await world.rows("SELECT reason FROM audit_events WHERE event = 'grant.stepped_up'")
    assert event["reason"] == "email"


# ---------------------------------------------------------------------------------------- how it ends
async def test_a_device_that_was_approved_is_connected(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    page = await decide(alice, device)

    assert_html(page, 200)
    assert "You are connected Go back to your device" in words_of(page.text)
    issued = await device_flow.poll(world, device)
    assert issued.status_code == 200
    assert "alice" in (await world.call(issued.json()["access_token"])).text
    [grant] = await world.rows("SELECT * FROM grants")
    [session] = await world.rows("SELECT created_at FROM sessions")
    assert grant["authenticated_at"] == session["created_at"]
    assert grant["reference"] in page.text


async def test_a_device_that_was_turned_away_gets_nothing(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    page = await decide(alice, device, "deny")

    assert_html(page, 200)
    assert "The device was turned away" in words_of(page.text)
    await back_channel.refused(world, device_flow.poll(world, device), 400, "access_denied")


async def test_the_end_can_be_looked_at_again_and_a_second_answer_changes_nothing(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    address = (await type_code(alice, device.user_code)).headers["location"]
    [form] = forms_of((await alice.get(address)).text)
    for decision in ("approve", "deny", "approve"):
        answered = await alice.post(form.action, data={**form.fields, "decision": decision})
        assert answered.headers["location"] == address

    assert "You are connected" in (await alice.get(address)).text
    assert len(await world.rows("SELECT * FROM grants")) == 1


async def test_answers_that_race_have_one_outcome(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    address = (await type_code(alice, device.user_code)).headers["location"]
    [form] = forms_of((await alice.get(address)).text)
    answers = await asyncio.gather(
        *(
            alice.post(form.action, data={**form.fields, "decision": decision})
            for decision in ["approve", "deny"] * 10
        )
    )

    assert {answer.status_code for answer in answers} == {303}
    grants = await world.rows("SELECT * FROM grants")
    connected = "You are connected" in (await alice.get(address)).text
    assert len(grants) == connected
    assert (await device_flow.poll(world, device)).status_code == (200 if connected else 400)


async def test_two_people_with_one_code_are_one_too_many(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    await world.create_user("bob")
    bob = await world.signed_in_browser("bob")
    address = (await type_code(bob, device.user_code)).headers["location"]
    [form] = forms_of((await bob.get(address)).text)
    await decide(alice, device)

    await bob.post(form.action, data={**form.fields, "decision": "approve"})
    page = await bob.get(address)

    assert_page(page)
    assert "answered already" in page.text
    assert [row["user_id"] for row in await world.rows("SELECT user_id FROM grants")] != []
    assert len(await world.rows("SELECT * FROM grants")) == 1


async def test_a_connection_that_was_ended_since_is_not_called_one(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    page = await decide(alice, device)
    await back_channel.revoke_grants(world)

    assert_page(await alice.get(str(page.request.url)))


async def test_a_device_that_waited_too_long_can_no_longer_be_answered(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    address = (await type_code(alice, device.user_code)).headers["location"]
    [form] = forms_of((await alice.get(address)).text)
    world.clock.advance(minutes=10)

    answered = await alice.post(form.action, data={**form.fields, "decision": "approve"})
    page = await alice.get(answered.headers["location"])

    assert_page(page)
    assert "Begin again on the device" in page.text
    assert await world.rows("SELECT * FROM grants") == []
    await change(world, "DELETE FROM device_authorizations")
    assert_page(await alice.get(address))
