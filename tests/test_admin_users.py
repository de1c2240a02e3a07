"""People on the operator's pages: found, made, given rights, kept out and removed (ADM-8, ADM-10, ADM-11)."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from tests.command_line import assert_refused, command_line
from tests.front_channel import Standing, assert_html
from tests.support.world import World
from tests.test_admin_clients import HOSTILE, rows_of
from tests.working_pages import form_to, person, press

pytest_plugins = ["tests.standing"]
USERS = "/admin/users"


async def page_of(world: World, username: str) -> str:
    """The address of someone's page."""
    (row,) = await world.rows("SELECT id FROM users WHERE username = :name", name=username)
    return f"{USERS}/user?id={row['id']}"


async def act(
    admin: httpx2.AsyncClient, world: World, username: str, action: str, **fields: str
) -> httpx2.Response:
    """Press one of the buttons of someone's page twice."""
    page = await page_of(world, username)
    fields = fields or {"user_id": page.partition("=")[2]}
    return await press(admin, page, f"{USERS}/{action}", None, **fields)


async def rights_of(world: World) -> Mapping[str, str]:
    """Who may do what."""
    rows = await world.rows("SELECT username, is_admin, is_auditor FROM users")
    return {
        row["username"]: "admin" if row["is_admin"] else "auditor" if row["is_auditor"] else "none"
        for row in rows
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Alice", "Carol", "Dave"]),
        ("q=ALI", ["Alice"]),
        ("q=dave@example", ["Dave"]),
        ("q=%25", []),
        ("who=admins", ["Carol"]),
        ("who=auditors", ["Dave"]),
        ("who=disabled", []),
        ("after=alice", ["Carol", "Dave"]),
    ],
)
async def test_people_are_searched_and_filtered(world: World, query: str, found: list[str]) -> None:
    await person(world, "dave", is_auditor=True)
    page = await (await person(world, "carol", is_admin=True)).get(f"{USERS}?{query}")
    assert [row.split()[0] for row in rows_of(page)] == found


async def test_the_list_goes_on_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.routers.pages.admin.users.PAGE", 2)
    admin = await person(world, "carol", is_admin=True)
    await world.create_user("dave")
    first = await admin.get(USERS)
    (older,) = re.findall(r'rel="next" href="([^"]*)"', first.text)
    assert [row.split()[0] for row in rows_of(await admin.get(older))] == ["Dave"]


@pytest.mark.parametrize("query", ["who=x", "q=%00", "after=%00", "who=admins&who=admins", f"q={'x' * 601}"])
async def test_adm_9_hostile_addresses_are_refused(standing: Standing, query: str) -> None:
    admin = await _admin(standing.world)
    assert_html(await admin.get(f"{USERS}?{query}"), 400)


@pytest.mark.parametrize("user_id", ["", "x", "%00", "x" * 700, "'"])
async def test_adm_9_an_id_that_names_nobody_finds_nobody(standing: Standing, user_id: str) -> None:
    admin = await _admin(standing.world)
    answer = await admin.get(f"{USERS}/user?id={user_id}")
    assert_html(answer, answer.status_code)
    assert answer.status_code in {400, 404}
    token = form_to((await admin.get(await page_of(standing.world, "alice"))).text, f"{USERS}/delete").fields
    for action in ("delete", "enable"):
        fields = form_to(
            (await admin.get(await page_of(standing.world, "alice"))).text, f"{USERS}/delete"
        ).fields
        assert fields == token
        data = {**fields, "user_id": "\x00" if user_id == "%00" else user_id}
        assert (await admin.post(f"{USERS}/{action}", data=data)).status_code in {403, 404}


async def test_an_account_is_made_with_a_password_that_is_shown_once(world: World) -> None:
    admin = await person(world, "carol", is_admin=True)
    typed = {"username": "Erin", "name": HOSTILE, "email": "erin@example.com", "right": "auditor"}
    answer = await press(admin, USERS, f"{USERS}/create", typed)
    assert_html(answer, 200)
    (password,) = re.findall(r'<code class="line">([^<]+)</code>', answer.text)
    browser = world.browser()
    assert (await world.sign_in(browser, "erin", password)).status_code == 303
    assert (await rights_of(world))["erin"] == "auditor"
    for address in (USERS, await page_of(world, "erin"), "/admin/clients"):
        page = await browser.get(address)
        assert_html(page, 200)
        assert password not in page.text
        assert "<script>alert" not in page.text


@pytest.mark.parametrize(
    "typed", [{"username": "alice"}, {"username": "<script>"}, {"username": "erin", "email": "no address"}]
)
async def test_an_account_that_cannot_be_is_refused_and_what_was_typed_stays(
    world: World, typed: dict[str, str]
) -> None:
    admin = await person(world, "carol", is_admin=True)
    answer = await press(admin, USERS, f"{USERS}/create", typed)
    assert_html(answer, 400)
    assert "<script>" not in answer.text
    assert form_to(answer.text, f"{USERS}/create").fields["email"] == typed.get("email", "")
    assert len(await world.rows("SELECT id FROM users")) == 2


async def test_a_disabled_person_is_out_at_once_and_comes_back(world: World) -> None:
    client = await world.register()
    tokens, alice = await world.tokens(client), await world.signed_in_browser()
    admin = await person(world, "carol", is_admin=True)
    await act(admin, world, "alice", "disable")
    assert (await alice.get("/account/sessions")).status_code == 303
    assert (await world.call(tokens["access_token"])).status_code == 401
    await act(admin, world, "alice", "enable")
    assert (await world.sign_in(world.browser())).status_code == 303


async def test_adm_8_a_deleted_person_is_gone_with_all_that_was_theirs(world: World) -> None:
    client = await world.register()
    tokens, alice = await world.tokens(client), await world.signed_in_browser()
    admin = await person(world, "carol", is_admin=True)
    page = await page_of(world, "alice")

    answer = await act(admin, world, "alice", "delete")

    assert answer.headers["location"] == USERS
    assert (await alice.get("/account/sessions")).status_code == 303
    assert (await world.call(tokens["access_token"])).status_code == 401
    refused = await world.refresh(client, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    for table in ("grants", "refresh_tokens", "authorization_codes"):
        assert await world.rows(f"SELECT * FROM {table}") == []  # noqa: S608 - the names are ours
    user_id = page.partition("=")[2]
    kept = await world.rows("SELECT event FROM audit_events WHERE user_id = :id ORDER BY id", id=user_id)
    assert {"user.signed_in", "user.deleted"} <= {row["event"] for row in kept}
    assert_html(await admin.get(page), 404)
    # What is left of them is an id.
    assert user_id in (await admin.get(f"/admin/clients/client?id={client['client_id']}")).text


async def test_someone_is_signed_out_everywhere_and_their_apps_stay(world: World) -> None:
    tokens, alice = await world.tokens(await world.register()), await world.signed_in_browser()
    admin = await person(world, "carol", is_admin=True)
    await act(admin, world, "alice", "sign-out")
    assert (await alice.get("/account/sessions")).status_code == 303
    assert (await world.call(tokens["access_token"])).status_code == 200


async def test_rights_are_given_and_taken(world: World) -> None:
    admin = await person(world, "carol", is_admin=True)
    alice = await world.signed_in_browser()
    assert (await alice.get(USERS)).status_code == 403
    await act(admin, world, "alice", "rights", right="auditor")
    assert (await alice.get(USERS)).status_code == 200
    await act(admin, world, "alice", "rights", right="admin")
    assert await rights_of(world) == {"alice": "admin", "carol": "admin"}
    await act(admin, world, "alice", "rights", right="none")
    assert (await alice.get(USERS)).status_code == 403
    rows = await world.rows("SELECT reason FROM audit_events WHERE event = 'user.rights_changed' ORDER BY id")
    assert [row["reason"] for row in rows] == ["auditor", "admin", "none"]


async def test_there_is_no_other_right(world: World) -> None:
    admin = await person(world, "carol", is_admin=True)
    form = form_to((await admin.get(await page_of(world, "alice"))).text, f"{USERS}/rights")
    answer = await admin.post(f"{USERS}/rights", data={**form.fields, "right": "god"})
    assert_html(answer, 400)
    assert (await rights_of(world))["alice"] == "none"


@pytest.mark.parametrize("action", ["rights", "disable", "delete"])
async def test_adm_10_nobody_takes_their_own_right(world: World, action: str) -> None:
    admin = await person(world, "carol", is_admin=True)
    await person(world, "dave", is_admin=True)
    page = (await admin.get(await page_of(world, "carol"))).text
    for words in ("Delete", "Disable", "Take the rights"):
        assert words not in page
    # Nor with the form of somebody else's page.
    form = form_to((await admin.get(await page_of(world, "dave"))).text, f"{USERS}/{action}")
    own = (await page_of(world, "carol")).partition("=")[2]
    answer = await admin.post(form.action, data={**form.fields, "user_id": own, "right": "none"})
    assert_html(answer, 409)
    assert (await rights_of(world))["carol"] == "admin"


async def test_adm_10_of_two_admins_who_remove_each_other_at_once_one_stays(world: World) -> None:
    browsers = {name: await person(world, name, is_admin=True) for name in ("carol", "dave")}
    for _ in range(5):
        forms = []
        for name, other in (("carol", "dave"), ("dave", "carol")):
            page = await browsers[name].get(await page_of(world, other))
            form = form_to(page.text, f"{USERS}/rights", right="none")
            forms.append((browsers[name], form))
        answers = await asyncio.gather(
            *(browser.post(form.action, data={**form.fields, "right": "none"}) for browser, form in forms)
        )
        rights = await rights_of(world)
        assert sorted([rights["carol"], rights["dave"]]) == ["admin", "none"], [
            a.status_code for a in answers
        ]
        cli = command_line(world.settings.database_url, Path.cwd())
        for name in ("carol", "dave"):
            await cli.quickly("users", "promote", name)


async def test_the_commands_give_and_take_rights_and_remove_people(world: World, tmp_path: Path) -> None:
    cli = command_line(world.settings.database_url, tmp_path)
    await world.tokens(await world.register())
    made = await cli.quickly("users", "create", "erin", "--auditor", "--json")
    assert made.data["is_auditor"] is True
    assert (await cli.quickly("users", "promote", "erin", "--json")).data["is_admin"] is True
    assert_refused(await cli.quickly("users", "demote", "erin"), "last")
    assert_refused(await cli.quickly("users", "delete", "erin"), "last")
    assert (await cli.quickly("users", "promote", "alice", "--auditor", "--json")).data["is_auditor"] is True
    assert (await cli.quickly("users", "demote", "alice", "--json")).data["is_auditor"] is False
    assert (await cli.quickly("users", "delete", "alice", "--json")).code == 0
    assert await rights_of(world) == {"erin": "admin"}
    assert await world.rows("SELECT * FROM grants") == []


async def _admin(world: World) -> httpx2.AsyncClient:
    if not await world.rows("SELECT id FROM users WHERE username = 'carol'"):
        await world.create_user("carol", is_admin=True)
    return await world.signed_in_browser("carol")
