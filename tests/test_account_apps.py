"""Connected apps: what people see of them, and how they disconnect and narrow them. LGN-14."""

import html

import httpx2
import pytest
import sqlalchemy as sa

from app.authorization_server.tables import clients, grants
from tests.front_channel import assert_html
from tests.support.world import World, forms_of
from tests.test_consent_page import words_of
from tests.working_pages import form_to, person, press

HOSTILE = [
    pytest.param("<script>alert(1)</script>\"'><img src=x onerror=alert(1)>", id="markup"),
    pytest.param("Cl\u202eedualC\u202c \u2066\u200b\ufeff", id="turned around"),
    pytest.param("“verified” {{ 7007*7007 }} {% raw %}", id="quotes and templates"),
    pytest.param("W" * 10_000, id="long"),
]


async def _app_page(browser: httpx2.AsyncClient, name: str = "Test App") -> str:
    page = (await browser.get("/account")).text
    return next(line.split('"')[1] for line in page.split("<a href=")[1:] if name in line)


async def test_lgn_14_disconnecting_one_app_ends_it_and_no_other(world: World) -> None:
    one, two = await world.register(client_name="One"), await world.register(client_name="Two")
    first, again, other = await world.tokens(one), await world.tokens(one), await world.tokens(two)
    browser = await world.signed_in_browser()
    assert (await world.call(first["access_token"])).status_code == 200

    answer = await press(browser, "/account", "/account/disconnect", app=one["client_id"])

    assert answer.headers["location"] == "/account?done=disconnected"
    for tokens in (first, again):
        assert (await world.call(tokens["access_token"])).status_code == 401
        refused = await world.refresh(one, tokens["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert (await world.call(other["access_token"])).status_code == 200
    assert (await world.refresh(two, other["refresh_token"])).status_code == 200
    page = words_of((await browser.get(answer.headers["location"])).text)
    assert "Disconnected." in page
    assert "“ Two ”" in page
    assert "“ One ”" not in page
    events = await world.rows("SELECT * FROM audit_events WHERE event = 'grant.revoked'")
    assert {(event["reason"], event["client_id"]) for event in events} == {("person", one["client_id"])}
    assert all(event["user_id"] for event in events)


async def test_every_app_is_disconnected_at_once(world: World) -> None:
    issued = [await world.tokens(await world.register(client_name=name)) for name in ("One", "Two")]
    browser = await world.signed_in_browser()
    await press(browser, "/account", "/account/disconnect-all")
    assert [(await world.call(tokens["access_token"])).status_code for tokens in issued] == [401, 401]
    assert "No app is connected" in (await browser.get("/account")).text


async def test_nobody_disconnects_or_narrows_the_apps_of_someone_else(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    mallory = await person(world, "mallory")
    await world.tokens(await world.register(client_name="Mine"), "mallory")
    await press(mallory, "/account", "/account/disconnect", {"app": client["client_id"]})
    await world.tokens(client_mine := await world.register(client_name="Mine too"), "mallory")
    page = await _app_page(mallory, "Mine too")
    changes = {"app": client["client_id"], "keep": "mcp"}
    await press(mallory, page, "/account/narrow", changes, app=client_mine["client_id"])
    assert (await world.call(tokens["access_token"])).status_code == 200
    assert (await mallory.get(await _app_page(await world.signed_in_browser()))).status_code == 303


async def test_a_part_is_taken_back_on_the_apps_page(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    browser = await world.signed_in_browser()
    address = await _app_page(browser)
    page = (await browser.get(address)).text
    said = words_of(page)
    for words in (
        "Use this server’s tools in your name",
        "whoami",
        "See your e-mail address",
        "Stay connected",
    ):
        assert words in said
    form = form_to(page, "/account/narrow")
    shown = ["mcp", "profile", "email", "offline_access"]
    keep = ["mcp", "profile", "offline_access"]

    answer = await browser.post(form.action, data={**form.fields, "shown": shown, "keep": keep})

    assert answer.headers["location"] == f"{address}?done=narrowed"
    page = words_of((await browser.get(answer.headers["location"])).text)
    assert "You took back: See your e-mail address." in page
    assert (await world.call(tokens["access_token"])).status_code == 401
    refreshed = await world.refresh(client, tokens["refresh_token"])
    assert refreshed.json()["scope"] == "mcp profile offline_access"
    # The same form again changes nothing more.
    answer = await browser.post(form.action, data={**form.fields, "shown": shown, "keep": keep})
    assert answer.headers["location"] == address


async def test_what_a_form_did_not_show_is_not_taken_back(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    browser = await world.signed_in_browser()
    form = form_to((await browser.get(await _app_page(browser))).text, "/account/narrow")
    await browser.post(form.action, data={**form.fields, "shown": ["email"], "keep": []})
    refreshed = await world.refresh(client, tokens["refresh_token"])
    assert refreshed.json()["scope"] == "mcp profile offline_access"


async def test_who_takes_everything_back_is_told_to_disconnect(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    browser = await world.signed_in_browser()
    address = await _app_page(browser)
    form = form_to((await browser.get(address)).text, "/account/narrow")
    shown = ["mcp", "profile", "email", "offline_access"]
    answer = await browser.post(form.action, data={**form.fields, "shown": shown, "keep": []})
    assert answer.headers["location"] == f"{address}?problem=nothing-left"
    assert "Disconnect it instead" in (await browser.get(answer.headers["location"])).text
    assert (await world.call(tokens["access_token"])).status_code == 200


async def test_the_list_tells_when_and_from_where_an_app_was_used(world: World) -> None:
    tokens = await world.tokens(await world.register())
    browser = await world.signed_in_browser()
    assert "never" in words_of((await browser.get("/account")).text)
    await world.call(tokens["access_token"])
    await world.app.state.grant_uses.write()
    world.clock.advance(minutes=5)
    for address in ("/account", await _app_page(browser)):
        said = words_of((await browser.get(address)).text)
        assert "5 minutes ago" in said or "12:00:00 UTC" in said
        assert "203.0.113.7" in said


async def test_who_is_behind_an_app_is_told_as_far_as_it_is_known(world: World) -> None:
    await world.tokens(await world.register(client_name="Stranger"))
    checked = await world.register(client_name="Looked at")
    await world.tokens(checked)
    async with world.database.transaction() as tx:
        of_checked = clients.c.client_id == checked["client_id"]
        await tx.execute(clients.update().where(of_checked).values(approved_at=world.clock.now()))
    said = words_of((await (await world.signed_in_browser()).get("/account")).text)
    assert "“ Stranger ” not verified" in said
    assert "“ Looked at ” known to this server’s operator" in said


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_stays_a_name_in_every_list(world: World, name: str) -> None:
    await world.tokens(await world.register())
    async with world.database.transaction() as tx:
        await tx.execute(clients.update().values(client_name=name))
    browser = await world.signed_in_browser()
    page = await browser.get("/account")
    assert_html(page, 200)
    address = page.text.partition("/account/apps/")[2].partition('"')[0]
    for answer in (
        page,
        await browser.get(f"/account/apps/{address}"),
        await browser.get("/account/activity"),
    ):
        assert_html(answer, 200)
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        body = answer.text.partition("<main")[2]
        assert not any(sign in body for sign in "\u202e\u202c\u2066\u200b\ufeff")
        assert "49098049" not in html.unescape(body)
        assert "W" * 61 not in body


async def test_two_hundred_apps_are_one_page(world: World) -> None:
    await world.tokens(await world.register())
    async with world.database.transaction() as tx:
        client = (await tx.execute(sa.select(clients))).one()._mapping
        grant = (await tx.execute(sa.select(grants))).one()._mapping
        new = [{"client_id": f"client_{number}", "client_name": f"App {number}"} for number in range(199)]
        await tx.execute(clients.insert(), [{**client, **one, "search_text": ""} for one in new])
        held = [{"client_id": one["client_id"], "id": f"grant_{one['client_id']}"} for one in new]
        await tx.execute(grants.insert(), [{**grant, **one} for one in held])
    browser = await world.signed_in_browser()
    page = await browser.get("/account")
    assert sum(form.action == "/account/disconnect" for form in forms_of(page.text)) == 200
    assert "Disconnect all 200" in page.text
    await press(browser, "/account", "/account/disconnect-all")
    assert "No app is connected" in (await browser.get("/account")).text


async def test_the_page_of_an_app_that_is_not_connected_leads_to_the_list(world: World) -> None:
    browser = await world.signed_in_browser()
    assert (await browser.get("/account/apps/x")).headers["location"] == "/account"


async def test_the_page_that_tries_the_tools_is_listed_as_ours(world: World) -> None:
    browser = await world.signed_in_browser()
    tester = await browser.get("/account/try?tool=whoami")
    form = next(
        form for form in forms_of(tester.text) if "csrf_token" in form.fields and "try" in form.action
    )
    await browser.post(form.action, data={**form.fields, "tool": "whoami"})
    page = (await browser.get("/account")).text
    assert "a page of this server" in page
    address = page.partition("/account/apps/")[2].partition('"')[0]
    shown = (await browser.get(f"/account/apps/{address}")).text
    assert not any(form.action == "/account/narrow" for form in forms_of(shown))
