"""An app that needs more asks for more (MCP authorization, Step-Up Authorization Flow): what people see and allow."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest

from tests.front_channel import change
from tests.support.world import World, answer_of, forms_of
from tests.test_consent_page import words_of
from tests.test_tool_scopes import SETTINGS, nothing_ran

__all__ = ["nothing_ran"]

WEB = "https://app.example/callback"


@pytest.fixture
async def scoped(make_world: Callable[..., Any]) -> World:
    """Alice, and root who is an admin."""
    world: World = await make_world(**SETTINGS)
    await world.create_user("alice")
    await world.create_user("root", is_admin=True)
    return world


async def page_of(
    world: World, client: Mapping[str, Any], scope: str | None, username: str = "alice", **changes: str
) -> tuple[httpx2.AsyncClient, str, str]:
    """The browser of someone who is asked, the address of the question, and the page."""
    browser = await world.signed_in_browser(username)
    parked = await world.authorize(browser, client, scope=scope, **changes)
    address = parked.headers["location"]
    page = await browser.get(address)
    assert page.status_code == 200, page.text
    return browser, address, page.text


def plain(fragment: str) -> str:
    """A piece of a page without markup."""
    return words_of(f"<body{fragment}").removeprefix(">").strip()


def lists_of(page: str) -> dict[str, list[str]]:
    """What stands under each heading, line by line, as a person reads it, without the boxes to leave it out."""
    page = re.sub(r"<label>.*?</label>", "", page, flags=re.DOTALL)
    found = re.findall(r"<h2>(.*?)</h2>\s*<ul.*?>(.*?)</ul>", page, re.DOTALL)
    return {
        plain(heading): [plain(line) for line in re.findall(r"<li>(.*?)</li>", lines, re.DOTALL)]
        for heading, lines in found
    }


def heading_of(page: str) -> str:
    """The question."""
    return plain(page.partition("<h1>")[2].partition("</h1>")[0])


async def scope_of(world: World, client: Mapping[str, Any], browser: httpx2.AsyncClient, address: str) -> str:
    """Approve, and tell the scope of the tokens that come of it."""
    answer = await world.decide(browser, address)
    code = answer_of(answer.headers["location"])["code"]
    scope: str = (await world.redeem(client, code)).json()["scope"]
    return scope


STAY = "Stay connected when you are away until you disconnect it, at most 90 days"


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("notes:write", id="users 16 the difference alone"),
        pytest.param("mcp profile offline_access notes:write", id="SEP-2350 the union"),
    ],
)
async def test_the_question_is_what_is_new_and_the_answer_keeps_what_was_there(
    scoped: World, asked: str
) -> None:
    client = await scoped.register()
    await scoped.tokens(client, scope="mcp profile offline_access")
    browser, address, page = await page_of(scoped, client, asked)
    assert heading_of(page) == "Let “ Test App ” do more?"
    assert lists_of(page) == {
        "New: it will also be able to": ["Write your notes opens read_note write_note"],
        "As you allowed before": ["Use this server’s tools in your name", "Know who you are", STAY],
    }
    scope = await scope_of(scoped, client, browser, address)
    assert scope == "mcp profile offline_access notes:write"
    grants = await scoped.rows("SELECT scope FROM grants ORDER BY created_at, id")
    assert {grant["scope"] for grant in grants} == {"mcp profile offline_access", scope}
    [event] = await scoped.rows("SELECT * FROM audit_events WHERE event = 'grant.stepped_up'")
    assert (event["reason"], event["client_id"]) == ("notes:write", client["client_id"])


async def test_the_first_question_shows_each_scope_with_the_tools_that_it_opens(scoped: World) -> None:
    client = await scoped.register()
    _, _, page = await page_of(scoped, client, "mcp notes:read notes:write people", "root")
    assert heading_of(page) == "Let “ Test App ” in?"
    assert lists_of(page) == {
        "It will be able to": [
            "Use this server’s tools in your name opens hello may_write",
            "Read your notes opens read_note",
            "Write your notes opens write_note räume",
            "Manage people opens räume",
            STAY,
        ]
    }


@pytest.mark.parametrize(
    ("scope", "lines"),
    [
        pytest.param("notes:write", ["Write your notes"], id="nothing without what the resource requires"),
        pytest.param(
            "mcp notes:all",
            [
                "Use this server’s tools in your name opens hello may_write",
                "Do anything with your notes opens read_note write_note",
            ],
            id="RSV-10 a broader scope opens what it implies",
        ),
    ],
)
async def test_only_tools_that_can_be_used_stand_under_a_scope(
    scoped: World, scope: str, lines: list[str]
) -> None:
    _, _, page = await page_of(scoped, await scoped.register(), scope)
    assert lists_of(page)["It will be able to"] == [*lines, STAY]


async def test_who_asks_for_nothing_new_is_asked_about_as_at_first(scoped: World) -> None:
    client = await scoped.register()
    await scoped.tokens(client, scope="mcp notes:read")
    browser, address, page = await page_of(scoped, client, "mcp")
    assert heading_of(page) == "Let “ Test App ” in?"
    assert len(lists_of(page)["It will be able to"]) == 3
    assert await scope_of(scoped, client, browser, address) == "mcp notes:read"
    assert await scoped.rows("SELECT * FROM audit_events WHERE event = 'grant.stepped_up'") == []


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE grants SET revoked_at = created_at", id="revoked"),
        pytest.param("UPDATE grants SET expires_at = created_at", id="over"),
        pytest.param("UPDATE grants SET resource = 'https://other.example/mcp'", id="another resource"),
        pytest.param(
            "UPDATE grants SET user_id = (SELECT id FROM users WHERE username = 'root')", id="another person"
        ),
        pytest.param(
            "UPDATE grants SET client_id = (SELECT client_id FROM clients WHERE client_name = 'Other')",
            id="another app",
        ),
        pytest.param("UPDATE grants SET grant_type = 'client_credentials'", id="not allowed by a person"),
    ],
)
async def test_only_what_this_person_allows_this_app_here_and_now_is_kept(
    scoped: World, statement: str
) -> None:
    client = await scoped.register()
    await scoped.register(client_name="Other")
    await scoped.tokens(client, scope="mcp notes:all")
    await change(scoped, statement)
    _, _, page = await page_of(scoped, client, "mcp")
    assert heading_of(page) == "Let “ Test App ” in?"
    assert "notes" not in str(lists_of(page))


async def test_what_changed_since_the_page_was_shown_is_not_allowed_by_its_answer(scoped: World) -> None:
    """Nothing is granted unseen: the answer is bound to everything that the page showed."""
    client = await scoped.register()
    browser, address, page = await page_of(scoped, client, "mcp")
    await scoped.tokens(client, scope="notes:all")
    before = await scoped.counts()
    answer = await browser.post(address, data={**forms_of(page)[0].fields, "decision": "approve"})
    assert answer.status_code == 403
    assert await scoped.counts() == before
    again = await browser.get(address)
    assert "Do anything with your notes" in words_of(again.text)
    assert await scope_of(scoped, client, browser, address) == "mcp notes:all"


async def test_the_tokens_from_before_a_step_up_go_on_as_they_were(scoped: World) -> None:
    """Users 16: a refresh never narrows what was granted, and widens nothing."""
    client = await scoped.register()
    before = await scoped.tokens(client, scope="mcp profile")
    after = await scoped.tokens(client, scope="notes:read")
    assert after["scope"] == "mcp profile notes:read"
    for tokens in (before, after):
        refreshed = (await scoped.refresh(client, tokens["refresh_token"])).json()
        assert refreshed["scope"] == tokens["scope"]
    assert (await scoped.call(after["access_token"], "read_note")).status_code == 200
    assert (await scoped.call(before["access_token"], "read_note")).status_code == 403


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        pytest.param("openid profile", "openid profile", id="who signs in, and nothing else"),
        pytest.param("openid mcp", "openid mcp email notes:read", id="who signs in, and tools"),
        pytest.param("profile", "mcp profile email notes:read", id="a difference"),
    ],
)
async def test_an_app_that_only_wants_to_know_who_signs_in_gets_just_that(
    scoped: World, asked: str, granted: str
) -> None:
    client = await scoped.register()
    await scoped.tokens(client, scope="mcp email notes:read")
    assert (await scoped.tokens(client, scope=asked))["scope"] == granted


@pytest.mark.parametrize(
    ("redirect_uri", "words", "warned"),
    [
        pytest.param("http://127.0.0.1/callback", "As you allowed before", True, id="loopback"),
        pytest.param("cursor://anysphere.cursor/callback", "As you allowed before", True, id="custom scheme"),
        pytest.param(WEB, "It can already", False, id="web"),
    ],
)
async def test_the_page_does_not_vouch_for_a_program_that_it_can_not_see(
    scoped: World, redirect_uri: str, words: str, warned: bool
) -> None:
    client = await scoped.register(redirect_uris=[redirect_uri])
    await scoped.tokens(client, scope="mcp")
    _, _, page = await page_of(scoped, client, "mcp notes:read")
    assert words in lists_of(page)
    assert ("not the one from before" in words_of(page)) is warned


# ------------------------------------------------------------------------------------ scopes for administrators
@pytest.mark.parametrize(
    ("username", "asked", "granted"),
    [
        pytest.param("alice", "mcp people", "mcp", id="AUZ-26 somebody"),
        pytest.param("root", "mcp people", "mcp people", id="AUZ-26 an admin"),
    ],
)
async def test_a_scope_for_admins_is_dropped_and_shown_as_dropped_for_others(
    scoped: World, username: str, asked: str, granted: str
) -> None:
    client = await scoped.register()
    browser, address, page = await page_of(scoped, client, asked, username)
    words = words_of(page)
    assert ("It also asked to be able to “Manage people”" in words) is (granted != asked)
    assert ("Manage people" in str(lists_of(page))) is (granted == asked)
    assert await scope_of(scoped, client, browser, address) == granted


async def test_auz_26_where_nothing_is_left_there_is_nothing_to_allow(scoped: World) -> None:
    client = await scoped.register()
    browser, address, page = await page_of(scoped, client, "people offline_access")
    [form] = forms_of(page)
    assert form.buttons == [("decision", "deny")]
    assert heading_of(page) == "You can’t let “ Test App ” in"
    assert "It asked to be able to “Manage people”. Only people who run this server" in words_of(page)
    assert lists_of(page) == {}
    answer = await browser.post(address, data={**form.fields, "decision": "approve"})
    assert answer_of(answer.headers["location"])["error"] == "access_denied"
    assert await scoped.rows("SELECT * FROM grants") == []


async def test_auz_26_what_someone_allowed_as_admin_ends_with_the_right(scoped: World) -> None:
    client = await scoped.register()
    tokens = await scoped.tokens(client, "root", scope="mcp people notes:write")
    code = await scoped.code(client, "root", scope="mcp people")
    assert set(tokens["scope"].split()) == {"mcp", "people", "notes:write"}
    await change(scoped, "UPDATE users SET is_admin = false")
    refreshed = (await scoped.refresh(client, tokens["refresh_token"])).json()
    assert refreshed["scope"] == "mcp notes:write"
    narrowed = await scoped.refresh(client, refreshed["refresh_token"], scope="mcp people")
    assert narrowed.json()["scope"] == "mcp"
    assert (await scoped.redeem(client, code)).json()["scope"] == "mcp notes:write"
    _, _, page = await page_of(scoped, client, "mcp people", "root")
    assert "It also asked to be able to “Manage people”" in words_of(page)


async def test_auz_26_a_grant_of_which_nothing_is_left_is_no_grant(scoped: World) -> None:
    client = await scoped.register()
    tokens = await scoped.tokens(client, "root", scope="people")
    await change(scoped, "UPDATE users SET is_admin = false")
    refused = await scoped.refresh(client, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    reasons = await scoped.rows("SELECT reason FROM audit_events WHERE outcome = 'invalid_grant'")
    assert [row["reason"] for row in reasons] == ["admins_only"]


async def test_auz_26_who_lost_the_right_while_the_page_stood_can_not_use_it(scoped: World) -> None:
    client = await scoped.register()
    browser, address, page = await page_of(scoped, client, "mcp people", "root")
    await change(scoped, "UPDATE users SET is_admin = false")
    answer = await browser.post(address, data={**forms_of(page)[0].fields, "decision": "approve"})
    assert answer.status_code == 403
    assert await scoped.rows("SELECT * FROM grants") == []


# ------------------------------------------------------------------------------ what a client wrote about itself
@pytest.mark.parametrize(
    ("registered", "asked", "granted"),
    [
        pytest.param("mcp notes:read", None, "mcp notes:read", id="RFC 7591 §2 a default"),
        pytest.param("notes:read mcp unknown", None, "mcp notes:read", id="in the catalogue's order"),
        pytest.param("unknown", None, "mcp profile email", id="nothing known: what is asked first"),
        pytest.param(None, None, "mcp profile email", id="nothing registered"),
        pytest.param("mcp", "mcp notes:write", "mcp notes:write", id="no limit to a step-up"),
    ],
)
async def test_a_registered_scope_is_a_default_and_no_limit(
    scoped: World, registered: str | None, asked: str | None, granted: str
) -> None:
    client = await scoped.register(**({} if registered is None else {"scope": registered}))
    assert (await scoped.tokens(client, scope=asked))["scope"] == granted
