"""People give their own address: it counts once a letter to it was read, and the one before is told."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.front_channel import assert_html
from tests.letters import confirm, letters_on_record, link_in
from tests.mail_server import MailBox
from tests.people_links import events, use
from tests.support.world import PASSWORD, World
from tests.test_password_change import change as change_password
from tests.working_pages import form_to

pytest_plugins = ["tests.letters_fixtures"]
PAGE = "/account/security"
PATH = f"{PAGE}/email"


async def give(browser: httpx2.AsyncClient, email: str) -> httpx2.Response:
    """Fill in the form and send it."""
    form = form_to((await browser.get(PAGE)).text, PATH)
    return await browser.post(PATH, data={**form.fields, "email": email})


async def address(world: World) -> tuple[str | None, bool]:
    """The address of alice, and whether it is confirmed."""
    (row,) = await world.rows("SELECT email, email_verified_at FROM users")
    return row["email"], row["email_verified_at"] is not None


async def test_the_address_that_is_known_is_confirmed(writing: World, box: MailBox) -> None:
    browser = await writing.signed_in_browser()
    assert "not confirmed" in (await browser.get(PAGE)).text
    answer = await give(browser, "alice@example.com")
    assert answer.headers["location"] == f"{PAGE}?done=letter-sent"
    assert "An e-mail is on its way" in (await browser.get(answer.headers["location"])).text
    (letter,) = box.letters
    assert await address(writing) == ("alice@example.com", False)
    # On another device, where nobody is signed in.
    assert_html(await use(writing.browser(), link_in(letter)), 200)
    assert await address(writing) == ("alice@example.com", True)
    assert "not confirmed" not in (await browser.get(PAGE)).text
    assert (await give(browser, "alice@example.com")).headers["location"] == f"{PAGE}?done=address-known"
    assert len(box.letters) == 1


async def test_another_address_counts_when_it_is_confirmed_and_the_old_one_is_told(
    writing: World, box: MailBox
) -> None:
    await confirm(writing, "alice")
    browser = await writing.signed_in_browser()
    await give(browser, "new@example.com")
    assert await address(writing) == ("alice@example.com", True)
    (notice,) = box.to("alice@example.com")
    assert "about to change" in notice["Subject"]
    assert "new@example.com" not in notice.as_string()
    assert "ost_link_" not in notice.as_string()
    (letter,) = box.to("new@example.com")
    await use(writing.browser(), link_in(letter))
    assert await address(writing) == ("new@example.com", True)
    assert [event for event in await events(writing) if event.startswith("user.email")] == [
        "user.email_link_made",
        "user.email_changed",
        "user.email_verified",
    ]


async def test_whoever_changes_the_password_keeps_another_address_out(writing: World, box: MailBox) -> None:
    """As the notice to the old address advises."""
    thief, owner = await writing.signed_in_browser(), await writing.signed_in_browser()
    await give(thief, "thief@example.com")
    await change_password(owner)
    (letter,) = box.to("thief@example.com")
    assert (await writing.browser().get(link_in(letter))).status_code == 404
    assert await address(writing) == ("alice@example.com", False)


@pytest.mark.parametrize("email", ["", "nobody", "a@b.example, c@d.example", "a@b\r\nBcc: c@d.example"])
async def test_what_is_no_address_gets_no_letter(writing: World, box: MailBox, email: str) -> None:
    answer = await give(await writing.signed_in_browser(), email)
    assert_html(answer, 422)
    assert "not an address" in answer.text
    assert box.letters == []


async def test_a_letter_that_does_not_go_out_is_told(writing: World, box: MailBox) -> None:
    box.refused.add("new@example.com")
    browser = await writing.signed_in_browser()
    answer = await give(browser, "new@example.com")
    assert answer.headers["location"] == f"{PAGE}?done=letter-not-sent"
    assert "No e-mail could be sent" in (await browser.get(answer.headers["location"])).text
    assert await letters_on_record(writing) == [("mail.sent", None), ("mail.refused", "address_refused")]


async def test_a_notice_that_does_not_go_out_keeps_nobody_from_confirming(
    writing: World, box: MailBox
) -> None:
    box.refused.add("alice@example.com")
    answer = await give(await writing.signed_in_browser(), "new@example.com")
    assert answer.headers["location"] == f"{PAGE}?done=letter-sent"
    assert len(box.to("new@example.com")) == 1


async def test_nobody_floods_others_with_letters(writing: World, box: MailBox) -> None:
    browser = await writing.signed_in_browser()
    answers = [await give(browser, f"victim-{number}@example.com") for number in range(6)]
    assert {answer.status_code for answer in answers[:-1]} == {303}
    assert_html(answers[-1], 429)
    assert answers[-1].headers["retry-after"] == "3600"
    assert box.to("victim-5@example.com") == []
    assert "user.email_refused" in await events(writing)


async def test_only_a_recent_sign_in_changes_the_address(writing: World, box: MailBox) -> None:
    browser = await writing.signed_in_browser()
    form = form_to((await browser.get(PAGE)).text, PATH)
    writing.clock.advance(minutes=11)
    answer = await browser.post(PATH, data={**form.fields, "email": "new@example.com"})
    assert answer.headers["location"].startswith("/login?")
    assert box.letters == []


async def test_a_hostile_name_stays_text_in_letters(writing: World, box: MailBox) -> None:
    name = "Eve “https://evil.example/pay”"
    await writing.create_user("eve", name=name)
    browser = writing.browser()
    await writing.sign_in(browser, "eve", PASSWORD)
    await give(browser, "new@example.com")
    assert len(box.letters) == 2
    for letter in box.letters:
        assert "evil.example" not in letter.as_string()
        assert "Hello Eve" in letter.get_content()


async def test_without_a_mail_server_the_page_has_no_form(world: World) -> None:
    browser = await world.signed_in_browser()
    page = (await browser.get(PAGE)).text
    assert PATH not in page
    assert "This server sends no e-mail" in page
    form = form_to(page, f"{PAGE}/password")
    answer = await browser.post(PATH, data={**form.fields, "email": "a@example.com"})
    # The token of another form.
    assert_html(answer, 403)


async def test_a_form_from_before_the_mail_server_was_taken_away_does_nothing(
    writing: World, make_world: Callable[..., Any], box: MailBox
) -> None:
    browser = await writing.signed_in_browser()
    form = form_to((await browser.get(PAGE)).text, PATH)
    later = (await make_world()).browser()
    later.cookies.update(browser.cookies)
    answer = await later.post(PATH, data={**form.fields, "email": "new@example.com"})
    assert_html(answer, 409)
    assert "This server sends no e-mail" in answer.text
    assert await writing.rows("SELECT * FROM account_links") == []
    assert box.letters == []
