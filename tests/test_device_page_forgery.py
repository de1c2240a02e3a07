"""What the page for devices refuses: what changed meanwhile, forged forms, and everything while it is switched off."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests import back_channel, device_flow
from tests.configuration import update
from tests.device_flow import Device, decide, question, type_code
from tests.front_channel import assert_page, change
from tests.scoped_server import PATH, SCOPES
from tests.support.world import World, forms_of

pytest_plugins = ["tests.device_people"]

MakeWorld = Callable[..., Awaitable[World]]


# ----------------------------------------------------------------- between the question and the answer
@pytest.mark.parametrize(
    ("statement", "status"),
    [
        pytest.param("UPDATE clients SET disabled_at = created_at", 400, id="client disabled"),
        pytest.param("UPDATE clients SET document_withdrawn_at = created_at", 400, id="description gone"),
        pytest.param("UPDATE clients SET grant_types = '[]'", 400, id="grant given up"),
        pytest.param("DELETE FROM clients", 403, id="client deleted"),
        pytest.param("UPDATE clients SET client_name = 'Another name'", 403, id="another name"),
        pytest.param("UPDATE clients SET changed_at = created_at", 403, id="another description"),
        pytest.param("UPDATE users SET disabled_at = created_at", 403, id="person disabled"),
        pytest.param("DELETE FROM sessions", 403, id="signed out"),
    ],
)
async def test_what_changed_since_the_question_was_asked_counts_at_the_answer(
    world: World, device: Device, alice: httpx2.AsyncClient, statement: str, status: int
) -> None:
    [form] = forms_of((await question(alice, device)).text)
    await change(world, statement)

    answer = await alice.post(form.action, data={**form.fields, "decision": "approve"})

    assert_page(answer, status=status)
    assert await world.rows("SELECT * FROM grants") == []


async def test_a_device_whose_person_was_not_told_that_it_stays_does_not(world: World) -> None:
    client = await device_flow.register(world, grant_types=[device_flow.GRANT_TYPE])
    device = await device_flow.begin(world, client)
    await device_flow.answer(world, device)
    wanted = [device_flow.GRANT_TYPE, "refresh_token"]
    assert (await update(world, client, grant_types=wanted)).status_code == 200

    issued = (await device_flow.poll(world, device)).json()

    assert "access_token" in issued
    assert "refresh_token" not in issued


async def test_a_scope_for_admins_is_kept_from_everyone_else(make_world: MakeWorld) -> None:
    world = await make_world(mcp_server=PATH, scopes=SCOPES)
    await world.create_user("alice")
    await world.create_user("root", is_admin=True)
    client = await device_flow.register(world)
    alice, root = await world.signed_in_browser(), await world.signed_in_browser("root")

    both = await device_flow.begin(world, client, scope="mcp people")
    await decide(alice, both)
    assert (await device_flow.poll(world, both)).json()["scope"] == "mcp"
    alone = await device_flow.begin(world, client, scope="people")
    page = await question(root, alone)
    [form] = forms_of(page.text)
    await change(world, "UPDATE users SET is_admin = false WHERE username = 'root'")
    answer = await root.post(form.action, data={**form.fields, "decision": "approve"})
    assert_page(answer, status=403)

    shut = await question(root, alone)
    [form] = forms_of(shut.text)
    assert form.buttons == [("decision", "deny")]
    assert "Turn the device away" in shut.text
    await root.post(form.action, data={**form.fields, "decision": "approve"})
    await back_channel.refused(world, device_flow.poll(world, alone), 400, "access_denied")


# --------------------------------------------------------------------------------------------- forgery
Alter = Callable[[dict[str, str], dict[str, str]], dict[str, Any]]
FORGED = [
    pytest.param(lambda own, _other: {**own, "csrf_token": ""}, id="CNS-1 no token"),
    pytest.param(lambda own, _other: {**own, "csrf_token": "x" * 43}, id="CNS-1 made up"),
    pytest.param(lambda own, _other: {**own, "csrf_token": own["csrf_token"][:-1]}, id="CNS-1 shortened"),
    pytest.param(lambda own, _other: {**own, "csrf_token": "żółw"}, id="CNS-1 letters outside ASCII"),
    pytest.param(
        lambda own, other: {**own, "csrf_token": other["csrf_token"]}, id="CNS-1 of another session"
    ),
    pytest.param(lambda own, _other: {**own, "csrf_token": [own["csrf_token"]] * 2}, id="CNS-1 twice"),
]


@pytest.mark.parametrize("alter", FORGED)
async def test_a_code_without_the_forms_own_token_is_not_looked_at(
    world: World, device: Device, alice: httpx2.AsyncClient, alter: Alter
) -> None:
    await world.create_user("bob")
    bob = await world.signed_in_browser("bob")
    own, other = [forms_of((await browser.get("/device")).text)[0].fields for browser in (alice, bob)]

    forged = alter({**own, "user_code": device.user_code}, other)
    answer = await alice.post("/device", data=forged)

    assert_page(answer, status=403)


@pytest.mark.parametrize(
    "alter",
    [
        *FORGED,
        pytest.param(lambda own, _other: {**own, "shown": ""}, id="CNS-1 nothing was shown"),
        pytest.param(
            lambda own, _other: {**own, "shown": own["csrf_token"]}, id="CNS-1 something else was shown"
        ),
        pytest.param(lambda own, _other: {**own, "user_code": "BCDF-GHJK"}, id="OPT-10 another code"),
        pytest.param(lambda own, _other: {**own, "user_code": "x"}, id="OPT-10 no code"),
        pytest.param(lambda own, _other: {**own, "decision": "yes"}, id="neither yes nor no"),
        pytest.param(lambda own, _other: {**own, "decision": ["approve", "deny"]}, id="yes and no"),
    ],
)
async def test_a_decision_without_the_forms_own_token_is_refused(
    world: World, device: Device, alice: httpx2.AsyncClient, alter: Alter
) -> None:
    await world.create_user("bob")
    bob = await world.signed_in_browser("bob")
    other = forms_of((await question(bob, device)).text)[0].fields
    [form] = forms_of((await question(alice, device)).text)

    answer = await alice.post(form.action, data=alter({**form.fields, "decision": "approve"}, other))

    assert_page(answer, status=403)
    assert await world.rows("SELECT * FROM grants") == []
    again = await alice.post(form.action, data={**form.fields, "decision": "approve"})
    assert "You are connected" in (await alice.get(again.headers["location"])).text


@pytest.mark.parametrize("path", ["/device", "/device/decision"])
async def test_a_form_of_another_site_is_refused(
    world: World, device: Device, alice: httpx2.AsyncClient, path: str
) -> None:
    [form] = forms_of((await question(alice, device)).text)
    data = {**form.fields, "decision": "approve"}

    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert_page(await alice.post(path, data=data, headers=headers), status=403)
    assert await world.rows("SELECT * FROM grants") == []


async def test_the_address_of_the_question_is_of_no_use_to_anyone_else(
    world: World, device: Device, alice: httpx2.AsyncClient
) -> None:
    address = (await type_code(alice, device.user_code)).headers["location"]
    await world.create_user("bob")
    bob = await world.signed_in_browser("bob")

    for query in (address.partition("?")[2], f"user_code={device.user_code}", "user_code=x&proof=y", ""):
        answer = await bob.get(f"/device/decision?{query}")
        assert answer.status_code == 303
        assert answer.headers["location"] in {"/device", f"/device?user_code={device.user_code}"}


# ---------------------------------------------------------------------------------------- switched off
async def test_switched_off_the_page_is_gone_with_every_way_to_it(make_world: MakeWorld) -> None:
    world = await make_world(features_off="device")
    await world.create_user("alice")
    browser = world.browser()
    for path in ("/device", "/device/decision", "/device/qr", "/device/qr.svg", "/device/qr.txt"):
        assert_page(await browser.get(path, params={"user_code": "WDJB-MJHT"}), status=404)
    for path in ("/device", "/device/decision"):
        assert_page(await browser.post(path, data={"user_code": "WDJB-MJHT"}), status=404)

    assert (await world.sign_in(browser, at="/login?device=WDJB-MJHT")).headers["location"] == "/"
