"""Operators send links: the letter goes out when the link is committed, and what fails is told and on record."""

import html
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import CommandLine, assert_refused, command_line
from tests.front_channel import assert_html, change
from tests.letters import MAIL_FROM, letters_on_record, link_in
from tests.mail_server import MailBox
from tests.people_links import use
from tests.support.world import World
from tests.test_admin_users import USERS, act, page_of
from tests.working_pages import form_to, person, press

pytest_plugins = ["tests.letters_fixtures"]


async def test_a_reset_link_is_sent_and_shown_to_nobody(writing: World, box: MailBox) -> None:
    admin = await person(writing, "root", is_admin=True)
    answer = await act(admin, writing, "alice", "send-link")
    assert_html(answer, 200)
    assert "The reset link was sent" in answer.text
    assert "alice@example.com" in answer.text
    assert "ost_link_" not in answer.text
    (letter,) = box.to("alice@example.com")
    assert "Choose a new password" in letter["Subject"]
    assert (await use(writing.browser(), link_in(letter))).status_code == 303
    rows = await writing.rows("SELECT email_verified_at FROM users WHERE username = 'alice'")
    assert rows[0]["email_verified_at"]
    assert await letters_on_record(writing) == [("mail.sent", None)]


async def test_someone_new_is_invited_by_letter(writing: World, box: MailBox) -> None:
    admin = await person(writing, "root", is_admin=True)
    typed = {"username": "zoe", "name": "Zoe", "email": "zoe@example.com", "right": "none"}
    answer = await press(admin, USERS, f"{USERS}/create", typed, how="mail")
    assert "The invitation was sent" in answer.text
    (letter,) = box.to("zoe@example.com")
    assert "You are invited" in (await writing.browser().get(link_in(letter))).text


async def test_without_an_address_the_link_is_shown_instead(writing: World, box: MailBox) -> None:
    admin = await person(writing, "root", is_admin=True)
    answer = await press(admin, USERS, f"{USERS}/create", {"username": "zoe", "email": ""}, how="mail")
    assert "The invitation was made" in answer.text
    assert "ost_link_" in answer.text
    assert f"{USERS}/send-link" not in (await admin.get(await page_of(writing, "zoe"))).text
    page = await admin.get(await page_of(writing, "alice"))
    form = form_to(page.text, f"{USERS}/send-link")
    await change(writing, "UPDATE users SET email = NULL")
    answer = await admin.post(form.action, data={**form.fields, "user_id": form.buttons[0][1]})
    assert_html(answer, 409)
    assert "No e-mail can be sent" in answer.text
    assert box.letters == []


@pytest.mark.parametrize("email", ["a@b.example, c@d.example", "a<b@c.example", "a@b\r\nBcc: c@d", "nobody"])
async def test_an_address_that_is_none_makes_no_account(writing: World, box: MailBox, email: str) -> None:
    admin = await person(writing, "root", is_admin=True)
    typed = {"username": "zoe", "email": email}
    answer = await press(admin, USERS, f"{USERS}/create", typed, how="mail")
    assert_html(answer, 400)
    assert "not an address" in answer.text
    assert box.letters == []


async def test_the_letter_leaves_after_the_commit(writing: World, box: MailBox) -> None:
    """The mail server looks into the database: the link is there already."""
    seen = []

    async def look() -> None:
        seen.append(await writing.rows("SELECT purpose FROM account_links"))

    box.looking = look
    await act(await person(writing, "root", is_admin=True), writing, "alice", "send-link")
    assert seen == [[{"purpose": "password_reset"}]]


@pytest.mark.parametrize(
    ("refuse", "reason", "says"),
    [
        (
            lambda box: box.refused.add("alice@example.com"),
            "address_refused",
            "takes no e-mail for this",
        ),
        (lambda box: setattr(box, "takes_letters", False), "server_refused", "did not take the e-mail"),
    ],
    ids=["address", "letter"],
)
async def test_the_operator_is_told_when_a_letter_does_not_go_out(
    writing: World, box: MailBox, refuse: Callable[[MailBox], None], reason: str, says: str
) -> None:
    refuse(box)
    admin = await person(writing, "root", is_admin=True)
    answer = await act(admin, writing, "alice", "send-link")
    assert_html(answer, 502)
    assert says in html.unescape(answer.text)
    assert "ost_link_" not in answer.text
    assert await letters_on_record(writing) == [("mail.refused", reason)]
    assert "E-mail not sent" in (await admin.get(await page_of(writing, "alice"))).text


async def test_without_a_mail_server_nothing_is_sent(world: World) -> None:
    admin = await person(world, "root", is_admin=True)
    page = await page_of(world, "alice")
    assert "send-link" not in (await admin.get(page)).text
    assert 'value="mail"' not in (await admin.get(USERS)).text
    typed = {"username": "zoe", "email": "zoe@example.com"}
    # A form of a page from before the setting was taken away.
    answer = await press(admin, USERS, f"{USERS}/create", {**typed, "how": "mail"})
    assert "The invitation was made" in answer.text


@pytest.fixture
async def cli(writing: World, box: MailBox, database_url: str, tmp_path: Path) -> CommandLine:
    """The command line of the running server."""
    return command_line(database_url, tmp_path, SMTP_URL=box.url, MAIL_FROM=MAIL_FROM)


async def test_the_command_line_sends(writing: World, box: MailBox, cli: CommandLine) -> None:
    sent = (await cli.quickly("users", "reset-link", "alice", "--send", "--json")).data
    assert sent["sent_to"] == "alice@example.com"
    assert "link" not in sent
    invited = await cli.quickly("users", "invite", "zoe", "--email", "zoe@example.com", "--send")
    assert "zoe@example.com" in invited.output
    assert "ost_link_" not in invited.output
    for address in ("alice@example.com", "zoe@example.com"):
        (letter,) = box.to(address)
        assert (await use(writing.browser(), link_in(letter))).status_code == 303
    assert await letters_on_record(writing) == [("mail.sent", None)] * 2


async def test_the_command_line_tells_why_nothing_was_sent(
    writing: World, box: MailBox, cli: CommandLine, database_url: str, tmp_path: Path
) -> None:
    assert_refused(await cli.quickly("users", "invite", "zoe", "--send"), "address of zoe")
    assert await writing.rows("SELECT id FROM users WHERE username = 'zoe'") == []
    without = command_line(database_url, tmp_path)
    assert_refused(await without.quickly("users", "reset-link", "alice", "--send"), "SMTP_URL")
    assert await writing.rows("SELECT * FROM account_links") == []
    box.takes_letters = False
    assert_refused(await cli.quickly("users", "reset-link", "alice", "--send"), "did not take the e-mail")
    assert await letters_on_record(writing) == [("mail.refused", "server_refused")]
