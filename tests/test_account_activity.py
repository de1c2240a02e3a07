"""What happened lately to a person, in words; and the names of browsers."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.audit import Origin, record
from app.routers.pages.account.activity import AT_ONCE
from app.routers.pages.account.activity_words import UNTOLD, WORDS
from app.routers.pages.account.sessions import how_signed_in
from app.routers.pages.browsers import browser_name
from tests.front_channel import assert_html
from tests.support.world import World
from tests.test_consent_page import words_of
from tests.working_pages import person

ROOT = Path(__file__).parents[1]


def _events_about_people() -> Iterator[str]:
    """The names of events that the code writes with a person."""
    for file in (ROOT / "app").rglob("*.py"):
        tree = ast.parse(file.read_text())
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record"
            ):
                continue
            if any(keyword.arg == "user_id" for keyword in node.keywords):
                event = node.args[1]
                if isinstance(event, ast.JoinedStr):
                    # What an endpoint refused: for operators, who know what it means.
                    assert ast.unparse(event).startswith("f'refused ")
                    continue
                name = constants.get(event.id) if isinstance(event, ast.Name) else ast.literal_eval(event)
                yield str(name)


def test_every_event_about_a_person_has_a_sentence() -> None:
    written = {*_events_about_people(), "grant.revoked"}
    assert len(written) > 20
    assert written - WORDS.keys() - UNTOLD == set()
    assert not UNTOLD & WORDS.keys()


async def test_what_happened_is_told_in_words_with_app_place_and_reference(world: World) -> None:
    client = await world.register(client_name="Sous Chef")
    tokens = await world.tokens(client)
    await world.sign_in(world.browser("192.0.2.66"), password="wrong horse battery")
    await world.refresh(client, tokens["refresh_token"])
    world.clock.advance(minutes=10)
    await world.refresh(client, tokens["refresh_token"])
    browser = await world.signed_in_browser()
    said = words_of((await browser.get("/account/activity")).text)
    for words in (
        "You connected an app “ Sous Chef ”",
        "A sign-in was refused refused",
        "from 192.0.2.66",
        "An app was disconnected What keeps it connected was used twice: somebody may have copied it.",
        "You signed in",
        "Your account was made",
    ):
        assert words in said
    (grant,) = await world.rows("SELECT reference FROM grants")
    assert grant["reference"] in said
    assert said.index("You signed in") < said.index("Your account was made")
    assert "token" not in said.lower()


async def test_nobody_sees_what_happened_to_someone_else(world: World) -> None:
    await world.tokens(await world.register(client_name="Sous Chef"))
    said = words_of((await (await person(world, "mallory")).get("/account/activity")).text)
    assert "Sous Chef" not in said


async def test_older_events_are_on_further_pages_each_once(world: World) -> None:
    (user,) = await world.rows("SELECT id FROM users")
    async with world.database.transaction() as tx:
        for number in range(2 * AT_ONCE + 5):
            origin = Origin(world.clock.now(), f"192.0.2.{number}")
            await record(tx, "user.signed_out", origin, user_id=user["id"])
    browser = await world.signed_in_browser()
    address, seen = "/account/activity", ""
    for _ in range(3):
        page = await browser.get(address)
        assert_html(page, 200)
        seen += words_of(page.text) + " "
        address = page.text.partition('rel="next" href="')[2].partition('"')[0]
    assert address == ""
    assert all(seen.count(f"from 192.0.2.{number} ") == 1 for number in range(2 * AT_ONCE + 5))


@pytest.mark.parametrize("after", ["x", "WzEsICJ4Il0", "WzEsICItMSJd", "%00", "W10"])
async def test_a_place_that_is_none_is_refused(world: World, after: str) -> None:
    browser = await world.signed_in_browser()
    assert_html(await browser.get(f"/account/activity?after={after}"), 400)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
            " Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
            " Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
            " Chrome/140.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("curl/8.5.0", "curl"),
        ("<script>alert(1)</script>", None),
        (None, None),
    ],
)
def test_browsers_are_named_in_plain_words(user_agent: str | None, name: str | None) -> None:
    assert browser_name(user_agent) == name


def test_how_somebody_signed_in_is_told_in_plain_words() -> None:
    assert how_signed_in("pwd otp mfa") == "password and one-time code"
    assert how_signed_in("hwk user mfa") == "passkey"
    assert how_signed_in("") == "another way"
