"""A forgotten password: everyone gets the same answer, and only a confirmed address a letter. LGN-1, LGN-10, LGN-12."""

import asyncio
import re

import httpx2
import pytest

from tests.front_channel import assert_html, change
from tests.letters import confirm, letters_on_record, link_in
from tests.mail_server import MailBox
from tests.people_links import NEW, use
from tests.support.world import World
from tests.working_pages import form_to

pytest_plugins = ["tests.letters_fixtures"]
PATH = "/forgot"


async def ask(browser: httpx2.AsyncClient, who: str) -> httpx2.Response:
    """Fill in the form and send it."""
    form = form_to((await browser.get(PATH)).text, PATH)
    return await browser.post(PATH, data={**form.fields, "who": who})


async def asked(world: World, who: str, browser: httpx2.AsyncClient | None = None) -> httpx2.Response:
    """The same, until the letters are out."""
    answer = await ask(browser or world.browser(), who)
    assert world.services.dispatch is not None
    await world.services.dispatch.settled()
    return answer


async def refusals(world: World) -> list[str]:
    """Why no letter went out."""
    rows = await world.rows("SELECT reason FROM audit_events WHERE event = 'user.reset_refused' ORDER BY id")
    return [row["reason"] for row in rows]


@pytest.mark.parametrize("who", ["alice", " ALICE ", "alice@example.com", "Alice@Example.com"])
async def test_whoever_reads_their_letters_chooses_a_new_password(
    writing: World, box: MailBox, who: str
) -> None:
    await confirm(writing, "alice")
    assert_html(await asked(writing, who), 200)
    (letter,) = box.to("alice@example.com")
    browser = writing.browser()
    assert "Choose a new password" in (await browser.get(link_in(letter))).text
    assert (await use(browser, link_in(letter))).status_code == 303
    assert (await writing.sign_in(writing.browser(), password=NEW)).status_code == 303
    assert await letters_on_record(writing) == [("mail.sent", None)]


async def test_lgn_1_the_answer_is_the_same_for_everyone(writing: World, box: MailBox) -> None:
    await confirm(writing, "alice")
    answers = [
        await asked(writing, who) for who in ("alice", "nobody", "nobody@example.com", "x" * 290, "' OR 1=1")
    ]
    assert len({answer.text for answer in answers}) == 1
    kept = [
        {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
        for answer in answers
    ]
    assert all(headers == kept[0] for headers in kept)
    assert len(box.letters) == 1
    assert await refusals(writing) == ["nobody_to_write_to"] * 4


async def test_lgn_1_the_answer_waits_for_no_letter(writing: World, box: MailBox) -> None:
    await confirm(writing, "alice")
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        arrived.set()
        await go_on.wait()

    box.looking = look
    assert_html(await ask(writing.browser(), "alice"), 200)
    # The answer was there before the mail server has the letter.
    await arrived.wait()
    assert box.letters == []
    go_on.set()
    assert writing.services.dispatch is not None
    await writing.services.dispatch.settled()
    assert len(box.letters) == 1


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE users SET email_verified_at = NULL", id="LGN-10 address not confirmed"),
        pytest.param("UPDATE users SET disabled_at = created_at", id="LGN-10 disabled"),
        pytest.param("UPDATE users SET password_hash = NULL", id="no password to forget"),
    ],
)
async def test_no_letter_goes_to_whom_it_would_let_in_by_another_door(
    writing: World, box: MailBox, statement: str
) -> None:
    await confirm(writing, "alice")
    await change(writing, statement)
    for who in ("alice", "alice@example.com"):
        assert_html(await asked(writing, who), 200)
    assert box.letters == []
    assert await writing.rows("SELECT * FROM account_links") == []
    assert await refusals(writing) == ["nobody_to_write_to"] * 2


async def test_two_who_share_an_address_get_a_letter_each(writing: World, box: MailBox) -> None:
    await writing.create_user("bob", email="alice@example.com")
    await confirm(writing, "alice", "bob")
    await asked(writing, "alice@example.com")
    texts = [letter.get_content() for letter in box.to("alice@example.com")]
    assert [re.findall(r"Hello (\w+)", text) for text in texts] == [["Alice"], ["Bob"]]


async def test_a_refused_letter_to_one_does_not_stop_that_to_another(writing: World, box: MailBox) -> None:
    await writing.create_user("bob@example.com", email="second@example.com", name="Bob")
    await writing.create_user("carol", email="bob@example.com")
    await confirm(writing, "bob@example.com", "carol")
    box.refused.add("second@example.com")
    await asked(writing, "bob@example.com")
    assert len(box.to("bob@example.com")) == 1
    assert await letters_on_record(writing) == [("mail.refused", "address_refused"), ("mail.sent", None)]


async def test_one_person_gets_a_few_letters_an_hour_and_asking_looks_the_same(
    writing: World, box: MailBox
) -> None:
    await confirm(writing, "alice")
    answers = [await asked(writing, "alice", writing.browser(f"198.51.100.{number}")) for number in range(8)]
    assert len({answer.text for answer in answers}) == 1
    assert len(box.letters) == 5
    assert await refusals(writing) == ["too_many_letters"] * 3
    # The newest letter is the one that counts.
    assert (await writing.browser().get(link_in(box.letters[-2]))).status_code == 404
    assert (await writing.browser().get(link_in(box.letters[-1]))).status_code == 200


async def test_one_source_asks_for_a_few_letters(writing: World) -> None:
    browser = writing.browser()
    answers = [await asked(writing, f"nobody-{number}", browser) for number in range(21)]
    assert {answer.status_code for answer in answers[:-1]} == {200}
    assert_html(answers[-1], 429)
    assert answers[-1].headers["retry-after"] == "600"
    assert (await asked(writing, "nobody", writing.browser("198.51.100.1"))).status_code == 200


async def test_asking_changes_nothing_yet(writing: World, box: MailBox) -> None:
    await confirm(writing, "alice")
    signed_in = await writing.signed_in_browser()
    await asked(writing, "alice")
    assert (await signed_in.get("/account")).status_code == 200
    assert (await writing.sign_in(writing.browser())).status_code == 303


async def test_lgn_6_a_form_that_is_not_ours_sends_nothing(writing: World, box: MailBox) -> None:
    await confirm(writing, "alice")
    browser = writing.browser()
    form = form_to((await browser.get(PATH)).text, PATH)
    data = {**form.fields, "who": "alice"}
    for sent, headers in (
        ({**data, "csrf_token": "x"}, {}),
        (data, {"origin": "https://evil.example"}),
        (data, {"origin": "null"}),
    ):
        assert_html(await browser.post(PATH, data=sent, headers=headers), 403)
    assert_html(await writing.browser().post(PATH, data=data), 403)
    assert_html(await browser.post(PATH, data={**data, "who": " "}), 422)
    assert box.letters == []


async def test_the_sign_in_page_leads_here_after_its_first_form(writing: World) -> None:
    page = (await writing.browser().get("/login")).text
    assert page.index('name="password"') < page.index('href="/forgot"')


async def test_without_a_mail_server_there_is_no_such_page(world: World) -> None:
    browser = world.browser()
    assert (await browser.get(PATH)).status_code == 404
    assert (await browser.post(PATH, data={"who": "alice"})).status_code == 404
    assert PATH not in (await browser.get("/login")).text


async def test_a_mail_server_that_is_away_is_on_record(writing: World, box: MailBox) -> None:
    await confirm(writing, "alice")
    box.takes_letters = False
    assert_html(await asked(writing, "alice"), 200)
    assert await letters_on_record(writing) == [("mail.refused", "server_refused")]
