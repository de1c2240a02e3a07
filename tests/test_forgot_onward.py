"""A forgotten password on the way to an app: the link leads back to what waits, in the same browser alone."""

import httpx2
import pytest

from tests.factors import add_app, code_at, give
from tests.front_channel import assert_html
from tests.letters import confirm, link_in
from tests.mail_server import MailBox
from tests.people_links import link_for, use
from tests.support.world import World, answer_of
from tests.working_pages import form_to

pytest_plugins = ["tests.letters_fixtures"]
PATH = "/forgot"


async def forget(world: World, browser: httpx2.AsyncClient, sign_in_page: str, box: MailBox) -> str:
    """Go from the sign-in page to the form and fill it in; the link in the letter."""
    await confirm(world, "alice")
    page = await browser.get(sign_in_page)
    link = next(part for part in page.text.split('"') if part.startswith(PATH)).replace("&amp;", "&")
    form = form_to((await browser.get(link)).text, PATH)
    assert_html(await browser.post(PATH, data={**form.fields, "who": "alice"}), 200)
    assert world.services.dispatch is not None
    await world.services.dispatch.settled()
    return link_in(box.to("alice@example.com")[-1])


async def test_the_app_that_waited_is_next(writing: World, box: MailBox) -> None:
    browser, client = writing.browser(), await writing.register()
    parked = (await writing.authorize(browser, client)).headers["location"]
    link = await forget(writing, browser, parked, box)
    answer = await use(browser, link)
    assert answer.headers["location"] == f"/consent/{parked.partition('request=')[2]}"
    decided = await writing.decide(browser, answer.headers["location"])
    assert "code" in answer_of(decided.headers["location"])
    # Once is enough: another link leads to the first page again.
    assert (await use(browser, await link_for(writing))).headers["location"] == "/"


async def test_a_second_factor_stands_in_between_and_leads_on(writing: World, box: MailBox) -> None:
    secret, _ = await add_app(writing, await writing.signed_in_browser())
    writing.clock.advance(seconds=30)
    browser, client = writing.browser(), await writing.register()
    parked = (await writing.authorize(browser, client)).headers["location"]
    answer = await use(browser, await forget(writing, browser, parked, box))
    assert answer.headers["location"].startswith("/login/second")
    answer = await give(browser, await browser.get(answer.headers["location"]), code=code_at(writing, secret))
    assert answer.headers["location"] == f"/consent/{parked.partition('request=')[2]}"


@pytest.mark.parametrize(
    ("asked", "onward"),
    [
        ("/login?next=/account/sessions", "/account/sessions"),
        ("/login?device=WDJB-MJHT", "/device?user_code=WDJB-MJHT"),
    ],
)
async def test_a_page_of_ours_is_next(writing: World, box: MailBox, asked: str, onward: str) -> None:
    browser = writing.browser()
    assert (await use(browser, await forget(writing, browser, asked, box))).headers["location"] == onward


async def test_the_way_back_to_the_sign_in_page_keeps_it_too(writing: World, box: MailBox) -> None:
    browser = writing.browser()
    address = f"{PATH}?next=/account/sessions"
    page = await browser.get(address)
    back = "/login?next=%2Faccount%2Fsessions"
    assert f'href="{back}"' in page.text
    form = form_to(page.text, PATH)
    sent = await browser.post(PATH, data={**form.fields, "who": "nobody"})
    assert f'href="{back}"' in sent.text
    wrong = await browser.post(PATH, data={**form.fields, "who": ""})
    assert form_to(wrong.text, PATH).fields["next"] == "/account/sessions"


async def test_in_another_browser_nothing_waits(writing: World, box: MailBox) -> None:
    browser, client = writing.browser(), await writing.register()
    parked = (await writing.authorize(browser, client)).headers["location"]
    link = await forget(writing, browser, parked, box)
    assert (await use(writing.browser(), link)).headers["location"] == "/"


async def test_the_letter_says_nothing_of_it(writing: World, box: MailBox) -> None:
    """Whoever has a letter written to somebody sends them nowhere."""
    attacker = writing.browser()
    link = await forget(writing, attacker, "/login?device=WDJB-MJHT", box)
    assert "?" not in link
    assert "WDJB" not in box.to("alice@example.com")[-1].get_content()
    assert (await use(writing.browser(), link)).headers["location"] == "/"


async def test_asking_without_anything_forgets_what_was_kept(writing: World, box: MailBox) -> None:
    browser = writing.browser()
    await forget(writing, browser, "/login?next=/account/sessions", box)
    link = await forget(writing, browser, "/login", box)
    assert (await use(browser, link)).headers["location"] == "/"


@pytest.mark.parametrize(
    "kept",
    [
        "next%3Dhttps%3A%2F%2Fevil.example",
        "next%3D%2F%2Fevil.example%2Faccount",
        "next%3D%2Faccount%2F..%2F..%2Fevil",
        "next%3D%2Faccount%0d%0aset-cookie%3A%20x",
        "request%3Drequest_x",
        "request%3D%00",
        "%FF%FE",
        "next",
        "%",
        "x" * 3000,
    ],
)
async def test_whatever_stands_in_the_cookie_leads_nowhere_else(writing: World, kept: str) -> None:
    browser = writing.browser()
    browser.cookies.set("ostiary_next", kept)
    assert (await use(browser, await link_for(writing))).headers["location"] == "/"
