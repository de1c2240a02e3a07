"""Whoever makes an operator, or a way in as one, signed in a short while ago. ADM-8, ADM-10."""

import httpx2
import pytest

from tests.factors import add_app
from tests.front_channel import assert_html, change
from tests.support.world import PASSWORD, World, forms_of
from tests.test_admin_users import USERS, page_of
from tests.working_pages import form_to, person, press

pytest_plugins = ["tests.letters_fixtures"]


async def links(world: World) -> int:
    """How many were made."""
    return len(await world.rows("SELECT token_hash FROM account_links"))


async def send(
    admin: httpx2.AsyncClient, world: World, username: str, action: str, **more: str
) -> httpx2.Response:
    """Send one of the forms of someone's page."""
    page = await page_of(world, username)
    return await press(admin, page, f"{USERS}/{action}", more, user_id=page.partition("=")[2])


@pytest.mark.parametrize("right", ["is_admin", "is_auditor"])
@pytest.mark.parametrize("joined", [True, False], ids=["reset", "invitation"])
async def test_a_link_for_another_operator_needs_a_recent_sign_in(
    world: World, right: str, joined: bool
) -> None:
    admin = await person(world, "root", is_admin=True)
    await world.create_user("olga", **{right: True})
    if not joined:
        await change(world, "UPDATE users SET password_hash = NULL WHERE username = 'olga'")
    world.clock.advance(minutes=10, seconds=1)
    page = await page_of(world, "olga")
    refused = await send(admin, world, "olga", "link")
    assert refused.status_code == 303
    assert refused.headers["location"] == f"/login?next={page}&fresh=true"
    assert await links(world) == 0

    shown = await admin.get(refused.headers["location"])
    fields = forms_of(shown.text)[0].fields
    back = await admin.post("/login", data={**fields, "username": "root", "password": PASSWORD})
    assert back.headers["location"] == page
    assert_html(await send(admin, world, "olga", "link"), 200)
    assert await links(world) == 1


async def test_a_letter_with_such_a_link_needs_one_too(writing: World) -> None:
    admin = await person(writing, "root", is_admin=True)
    await writing.create_user("olga", is_admin=True)
    await change(writing, "UPDATE users SET email = 'olga@example.com' WHERE username = 'olga'")
    writing.clock.advance(minutes=10, seconds=1)
    refused = await send(admin, writing, "olga", "send-link")
    assert refused.headers["location"] == f"/login?next={await page_of(writing, 'olga')}&fresh=true"
    assert await links(writing) == 0


async def test_a_link_for_anybody_else_does_not(world: World) -> None:
    admin = await person(world, "root", is_admin=True)
    world.clock.advance(minutes=30)
    assert_html(await send(admin, world, "alice", "link"), 200)


async def test_a_session_from_before_a_second_factor_makes_no_such_link(world: World) -> None:
    admin = await person(world, "root", is_admin=True)
    await world.create_user("olga", is_admin=True)
    await add_app(world, admin)
    await change(world, "UPDATE sessions SET methods = 'pwd'")
    refused = await send(admin, world, "olga", "link")
    assert refused.headers["location"] == f"/login?next={await page_of(world, 'olga')}&switch=true"
    assert await links(world) == 0


@pytest.mark.parametrize("how", ["password", "invite", "mail"])
@pytest.mark.parametrize("right", ["admin", "auditor", "none"])
async def test_to_make_an_operator_needs_a_recent_sign_in(world: World, right: str, how: str) -> None:
    admin = await person(world, "root", is_admin=True)
    world.clock.advance(minutes=10, seconds=1)
    typed = {"username": "zoe", "right": right, "how": how}
    answer = await press(admin, USERS, f"{USERS}/create", typed)
    made = bool(await world.rows("SELECT id FROM users WHERE username = 'zoe'"))
    if right == "none":
        assert_html(answer, 200)
        assert made
    else:
        assert answer.headers["location"] == f"/login?next={USERS}&fresh=true"
        assert not made
        assert await links(world) == 0


@pytest.mark.parametrize("right", ["admin", "auditor", "none"])
async def test_to_give_a_right_needs_a_recent_sign_in(world: World, right: str) -> None:
    admin = await person(world, "root", is_admin=True)
    page = await page_of(world, "alice")
    form = form_to((await admin.get(page)).text, f"{USERS}/rights")
    world.clock.advance(minutes=10, seconds=1)
    answer = await admin.post(form.action, data={**form.fields, "right": right})
    (alice,) = await world.rows("SELECT is_admin, is_auditor FROM users WHERE username = 'alice'")
    assert not alice["is_admin"]
    assert not alice["is_auditor"]
    onward = f"/login?next={page}&fresh=true"
    assert answer.headers["location"] == (page if right == "none" else onward)
