"""What people do with their passkeys, and where there can be none."""

import httpx2
import pytest

from tests.factors import (
    NEW_PASSKEY,
    SECURITY,
    WITH_PASSKEY,
    add_passkey,
    events,
    options_of,
    sign_in_with,
)
from tests.front_channel import assert_html, change
from tests.support.authenticator import (
    Authenticator,
    to_text,
)
from tests.support.world import World, forms_of
from tests.test_passkeys import MakeWorld, change_page, owner
from tests.working_pages import form_to, person, press

pytest_plugins = ["tests.standing"]


async def test_the_session_id_is_always_a_new_one(world: World) -> None:
    passkey = Authenticator()
    browser = await owner(world, passkey)
    before = dict(browser.cookies)
    await sign_in_with(browser, passkey, at="/login?switch=true")
    assert before["ostiary_session"] != browser.cookies["ostiary_session"]
    assert len(await world.rows("SELECT * FROM sessions")) == 1


# ------------------------------------------------------------------------------------------ naming and removing
async def test_a_passkey_is_renamed_and_removed_by_its_owner(world: World) -> None:
    browser = await owner(world, Authenticator())
    change = change_page(await browser.get(SECURITY))
    renamed = await press(browser, change, f"{SECURITY}/passkeys/rename", {"name": "Old <phone>"})
    assert renamed.headers["location"] == f"{SECURITY}?done=passkey-renamed"
    page = await browser.get(SECURITY)
    assert "Old &lt;phone&gt;" in page.text

    form = form_to((await browser.get(change)).text, f"{SECURITY}/passkeys/remove")
    removed = await browser.post(form.action, data={**form.fields, **dict(form.buttons)})

    assert removed.headers["location"] == f"{SECURITY}?done=passkey-removed"
    assert await world.rows("SELECT * FROM passkeys") == []
    assert await world.rows("SELECT * FROM recovery_codes") == []
    assert (
        await events(world, "passkey.renamed") + await events(world, "passkey.removed") == [("ok", None)] * 2
    )


@pytest.mark.parametrize("name", ["", "   ", "\u202e", "a\x07b"])
async def test_a_name_that_can_not_be_read_is_none(world: World, name: str) -> None:
    browser = await owner(world, Authenticator())
    change = change_page(await browser.get(SECURITY))
    answer = await press(browser, change, f"{SECURITY}/passkeys/rename", {"name": name})
    assert_html(answer, 400)
    assert [row["name"] for row in await world.rows("SELECT name FROM passkeys")] == ["Passkey"]


async def test_nobody_changes_the_passkeys_of_someone_else(world: World) -> None:
    passkey = Authenticator()
    await owner(world, passkey)
    mallory = await person(world, "mallory")
    assert (await add_passkey(mallory, Authenticator())).status_code == 200
    page = await mallory.get(change_page(await mallory.get(SECURITY)))
    for act in ("rename", "remove"):
        form = next(form for form in forms_of(page.text) if form.action.endswith(act))
        data = {**form.fields, "passkey": to_text(passkey.credential_id), "name": "mine"}
        await mallory.post(form.action, data=data)
    rows = await world.rows("SELECT name FROM passkeys")
    assert [row["name"] for row in rows] == ["Passkey", "Passkey"]
    other = f"{SECURITY}/passkeys/change?passkey={to_text(passkey.credential_id)}"
    assert_html(await mallory.get(other), 404)


async def test_the_only_way_in_is_not_removed(world: World) -> None:
    browser = await owner(world, Authenticator())
    await change(world, "UPDATE users SET password_hash = NULL")
    page = await browser.get(change_page(await browser.get(SECURITY)))
    form = form_to(page.text, f"{SECURITY}/passkeys/remove")
    data = {**form.fields, **dict(form.buttons)}
    assert_html(await browser.post(form.action, data=data), 400)
    assert len(await world.rows("SELECT * FROM passkeys")) == 1

    await add_passkey(browser, Authenticator())
    # The session has another id by now, to which its forms are bound.
    page = await browser.get(change_page(await browser.get(SECURITY)))
    data = {**data, **form_to(page.text, form.action).fields}
    assert (await browser.post(form.action, data=data)).status_code == 303
    assert len(await world.rows("SELECT * FROM passkeys")) == 1


@pytest.mark.parametrize("address", [NEW_PASSKEY, "/account/security/codes"])
async def test_a_change_asks_for_a_sign_in_of_the_last_ten_minutes(world: World, address: str) -> None:
    browser = await world.signed_in_browser()
    assert (await browser.get(address)).status_code == 200
    world.clock.advance(minutes=10, seconds=1)
    assert (await browser.get(SECURITY)).status_code == 200
    sent = await browser.get(address)
    assert sent.headers["location"] == f"/login?next={address}&fresh=true"
    page = await browser.get(sent.headers["location"])
    assert "Sign in again to change how you sign in" in page.text
    again = await world.sign_in(browser, at=sent.headers["location"])
    assert again.headers["location"] == address
    assert (await browser.get(sent.headers["location"])).headers["location"] == address


async def test_an_address_without_a_name_has_no_passkeys(make_world: MakeWorld) -> None:
    world = await make_world(public_url="http://127.0.0.1:8000")
    await world.create_user("alice")
    assert "data-passkey" not in (await world.browser().get("/login")).text
    browser = await world.signed_in_browser()
    assert "reached by a number" in (await browser.get(SECURITY)).text
    assert "data-passkey" not in (await browser.get(NEW_PASSKEY)).text


async def test_below_a_path_prefix_the_host_is_what_counts(make_world: MakeWorld) -> None:
    world = await make_world(public_url="https://auth.example.com/door")
    await world.create_user("alice")
    passkey = Authenticator(origin="https://auth.example.com")
    browser = world.browser()
    browser.base_url = httpx2.URL("https://auth.example.com")
    await world.sign_in(browser, at="/door/login")
    page = await browser.get(f"/door{NEW_PASSKEY}")
    asked = options_of(page.text, f"/door{NEW_PASSKEY}")
    assert asked["rp"]["id"] == "auth.example.com"
    form = form_to(page.text, f"/door{NEW_PASSKEY}")
    added = await browser.post(form.action, data={**form.fields, "credential": passkey.create(asked)})
    assert added.status_code == 200

    page = await browser.get("/door/login?switch=true")
    asked = options_of(page.text, f"/door{WITH_PASSKEY}")
    form = form_to(page.text, f"/door{WITH_PASSKEY}")
    data = {**form.fields, "credential": passkey.get(asked)}
    assert (await browser.post(form.action, data=data)).headers["location"] == "/door/"
