"""Operators hand out links: on the pages of people, and from the command line. ADM-8, LGN-10."""

import re
from pathlib import Path

import pytest

from tests.command_line import CommandLine, assert_refused, command_line
from tests.front_channel import assert_html
from tests.people_links import NEW, use
from tests.support.world import World
from tests.test_admin_users import USERS, act, page_of
from tests.working_pages import person, press

LINK = re.compile(r'<code class="line">http://localhost:8000(/link/ost_link_[\w-]{43})</code>')


def link_of(page: str) -> str:
    """The path of the one link that a page shows."""
    (path,) = LINK.findall(page)
    return str(path)


@pytest.fixture
async def cli(world: World, database_url: str, tmp_path: Path) -> CommandLine:
    """The command line of the running server."""
    return command_line(database_url, tmp_path)


async def test_an_operator_makes_a_reset_link_that_is_shown_once(world: World) -> None:
    admin = await person(world, "root", is_admin=True)
    answer = await act(admin, world, "alice", "link")
    assert_html(answer, 200)
    path = link_of(answer.text)
    assert "The reset link was made" in answer.text
    assert (await use(world.browser(), path)).status_code == 303
    assert (await world.sign_in(world.browser(), password=NEW)).status_code == 303
    assert "ost_link_" not in (await admin.get(await page_of(world, "alice"))).text
    rows = await world.rows(
        "SELECT users.username FROM audit_events JOIN users ON users.id = audit_events.actor_id"
        " WHERE event = 'user.reset_link_made'"
    )
    assert [row["username"] for row in rows] == ["root"]
    (link,) = await world.rows("SELECT created_by, email FROM account_links")
    assert (link["created_by"] is not None, link["email"]) == (True, None)


async def test_an_operator_invites_someone_new(world: World) -> None:
    admin = await person(world, "root", is_admin=True)
    typed = {"username": "zoe", "name": "Zoe", "right": "auditor"}
    answer = await press(admin, USERS, f"{USERS}/create", typed, how="invite")
    assert_html(answer, 200)
    assert "The invitation was made" in answer.text
    browser, path = world.browser(), link_of(answer.text)
    assert "You are invited" in (await browser.get(path)).text
    assert (await world.sign_in(world.browser(), "zoe", "")).status_code == 401
    assert "Invite" in (await admin.get(await page_of(world, "zoe"))).text
    assert (await use(browser, path)).status_code == 303
    assert (await browser.get("/admin")).status_code == 200


async def test_someone_invited_can_be_invited_again(world: World) -> None:
    admin = await person(world, "root", is_admin=True)
    first = link_of((await press(admin, USERS, f"{USERS}/create", {"username": "zoe"}, how="invite")).text)
    second = await act(admin, world, "zoe", "link")
    assert "The invitation was made" in second.text
    assert (await world.browser().get(first)).status_code == 404
    assert (await use(world.browser(), link_of(second.text))).status_code == 303


async def test_a_name_that_cannot_be_is_not_invited(world: World) -> None:
    admin = await person(world, "root", is_admin=True)
    answer = await press(admin, USERS, f"{USERS}/create", {"username": "alice"}, how="invite")
    assert_html(answer, 400)
    assert await world.rows("SELECT * FROM account_links") == []


async def test_operators_make_no_link_for_themselves_nor_for_whom_they_keep_out(world: World) -> None:
    admin = await person(world, "root", is_admin=True)
    page = await admin.get(await page_of(world, "root"))
    assert f"{USERS}/link" not in page.text
    form_of_alice = await page_of(world, "alice")
    for username in ("root", "alice"):
        if username == "alice":
            await act(admin, world, "alice", "disable")
            assert f"{USERS}/link" not in (await admin.get(form_of_alice)).text
        await world.create_user(f"{username}-2")
        fields = {"user_id": (await page_of(world, username)).partition("=")[2]}
        answer = await press(admin, await page_of(world, f"{username}-2"), f"{USERS}/link", fields)
        assert_html(answer, 409)
    assert await world.rows("SELECT * FROM account_links") == []


async def test_auditors_see_no_button(world: World) -> None:
    auditor = await person(world, "eve", is_auditor=True)
    assert f"{USERS}/link" not in (await auditor.get(await page_of(world, "alice"))).text


async def test_the_command_line_invites_and_resets(world: World, cli: CommandLine) -> None:
    made = (await cli.quickly("users", "invite", "Zoe", "--name", "Zoe", "--admin", "--json")).data
    assert made["username"] == "zoe"
    again = (await cli.quickly("users", "invite", "zoe", "--json")).data
    prefix = world.settings.public_url
    assert (await world.browser().get(made["link"].removeprefix(prefix))).status_code == 404
    assert (await use(world.browser(), again["link"].removeprefix(prefix))).status_code == 303
    reset = (await cli.quickly("users", "reset-link", "zoe", "--json")).data
    assert reset["expires_at"]
    rows = await world.rows("SELECT created_by FROM account_links")
    assert [row["created_by"] for row in rows] == ["cli"] * 3


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["reset-link", "nobody"], "nobody"),
        (["invite", "alice"], "was here before"),
        (["invite", "not a name"], "user name"),
        (["invite", "zoe", "--admin"], "has an account"),
        (["invite", "dora"], "disabled"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_the_command_line_refuses(
    world: World, cli: CommandLine, arguments: list[str], word: str
) -> None:
    for name in ("zoe", "dora"):
        assert (await cli.quickly("users", "invite", name)).code == 0
    assert (await cli.quickly("users", "disable", "dora")).code == 0
    before = await world.rows("SELECT * FROM account_links")
    assert_refused(await cli.quickly("users", *arguments), word)
    assert await world.rows("SELECT * FROM account_links") == before
