"""The page on which people try the tools: through the same guard as every app."""

import html
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType

import httpx2
import pytest
import sqlalchemy as sa

from app.audit import Origin
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.tool_tester import GRANT_TYPE, open_tester
from app.hooks import Refused, TokenChanges, TokenIssue
from app.oauth.errors import AccessDenied
from app.routers.dependencies import find_owner, resource_owner
from app.routers.vouching import find_vouched
from tests import scoped_server, typed_server
from tests.front_channel import assert_html, change
from tests.support.world import World, forms_of, running_world
from tests.working_pages import person

pytest_plugins = ["tests.hooked"]
PATH = "/account/try"
MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def typed(database_url: str) -> AsyncIterator[World]:
    """A server with tools of every kind, and alice."""
    async with running_world(database_url, mcp_server=typed_server.PATH) as world:
        await world.create_user("alice")
        yield world


async def call(browser: httpx2.AsyncClient, tool: str, **arguments: str) -> httpx2.Response:
    """Fill in a tool's form and press the button."""
    page = await browser.get(PATH, params={"tool": tool})
    assert page.status_code == 200, page.text
    form = next(form for form in forms_of(page.text) if form.action == PATH)
    typed = {f"argument:{name}": value for name, value in arguments.items()}
    return await browser.post(form.action, data={**form.fields, **typed})


def shown(answer: httpx2.Response) -> str:
    """The text of a page."""
    return html.unescape(answer.text)


async def test_the_tools_are_listed_and_nothing_is_called_by_looking(typed: World) -> None:
    browser = await typed.signed_in_browser()
    page = await browser.get(PATH)
    assert_html(page, 200)
    assert "Take everything" in page.text
    assert "It answered" not in page.text


async def test_a_tool_is_called_with_what_was_typed(typed: World) -> None:
    browser = await typed.signed_in_browser()
    answer = await call(
        browser,
        "everything",
        text="häßlich",
        count="3",
        share="",
        urgent="true",
        colour="green",
        place='{"street": "Am Tor", "number": 1}',
        tags='["a"]',
    )
    assert_html(answer, 200)
    assert "It answered" in answer.text
    for part in ('"text": "häßlich"', '"count": 3', '"share": 0.5', '"urgent": true', '"street": "Am Tor"'):
        assert part in shown(answer)
    # The request is shown as it went over the wire, without what authorizes it.
    assert '"method": "tools/call"' in shown(answer)
    assert "eyJ" not in answer.text


async def test_the_tool_sees_the_person_and_the_page_as_the_app(typed: World) -> None:
    answer = await call(await typed.signed_in_browser(), "who")
    (alice,) = await typed.rows("SELECT id FROM users WHERE username = 'alice'")
    assert f"{alice['id']} ostiary_tool_tester email mcp profile" in shown(answer)


async def test_what_can_not_be_read_is_told_and_nothing_is_called(typed: World) -> None:
    answer = await call(await typed.signed_in_browser(), "everything", text="", count="three")
    assert_html(answer, 422)
    assert "This is needed." in answer.text
    assert "This must be a whole number." in answer.text
    assert 'value="three"' in answer.text
    assert "It answered" not in answer.text


@pytest.mark.parametrize(
    ("tool", "expected"),
    [("fail", "Error executing tool fail"), ("everything", "validation error")],
)
async def test_a_tool_that_fails_says_so(typed: World, tool: str, expected: str) -> None:
    answer = await call(await typed.signed_in_browser(), tool, text="x", count="1", place="3")
    assert_html(answer, 200)
    assert "It failed" in answer.text
    assert expected in answer.text


async def test_a_picture_is_shown_only_if_it_can_hold_no_script(typed: World) -> None:
    browser = await typed.signed_in_browser()
    assert 'src="data:image/png;base64,' in (await call(browser, "paint")).text
    answer = await call(browser, "vector")
    assert "data:image/svg" not in answer.text
    assert "image/svg+xml" in answer.text


async def test_a_tool_without_an_answer_answers(typed: World) -> None:
    assert "It answered" in (await call(await typed.signed_in_browser(), "silent")).text


async def test_whatever_a_tool_calls_itself_stays_text(typed: World) -> None:
    browser = await typed.signed_in_browser()
    for page in (await browser.get(PATH), await call(browser, "hostile", argument="<b>bold</b>")):
        assert "<script>alert" not in page.text
        assert "<b>bold" not in page.text
        assert '" onload=' not in page.text


async def test_a_tool_that_is_not_there_is_a_page(typed: World) -> None:
    browser = await typed.signed_in_browser()
    assert_html(await browser.get(PATH, params={"tool": "nothing"}), 404)
    assert_html(await browser.get(PATH, params={"server": "https://evil.example/mcp"}), 404)


async def test_a_person_calls_only_what_they_could_allow_an_app(database_url: str) -> None:
    async with running_world(
        database_url, mcp_server=scoped_server.PATH, scopes=scoped_server.SCOPES
    ) as world:
        await world.create_user("alice")
        admin = await person(world, "carol", is_admin=True)
        alice = await world.signed_in_browser()
        assert "Tidy up" not in (await alice.get(PATH)).text
        assert "Tidy up" in (await admin.get(PATH)).text
        assert "written it" in (await call(alice, "write_note", text="it")).text
        page = await alice.get(PATH, params={"tool": "write_note"})
        form = next(form for form in forms_of(page.text) if form.action == PATH)
        assert_html(await alice.post(PATH, data={**form.fields, "tool": "räume"}), 404)


async def test_a_call_that_the_guard_refuses_says_why(make_hooked: MakeWorld, module: ModuleType) -> None:
    async def on_token_issue(_issue: TokenIssue) -> TokenChanges:
        return TokenChanges(scopes=("mcp",))

    module.on_token_issue = on_token_issue  # type: ignore[attr-defined]
    world = await make_hooked(mcp_server=scoped_server.PATH, scopes=scoped_server.SCOPES)
    await world.create_user()
    answer = await call(await world.signed_in_browser(), "write_note", text="it")
    assert_html(answer, 200)
    assert "It failed" in answer.text
    assert "insufficient_scope" in shown(answer)


async def test_the_operators_hook_can_refuse(make_hooked: MakeWorld, module: ModuleType) -> None:
    async def on_token_issue(_issue: TokenIssue) -> TokenChanges:
        raise Refused("Not on a Sunday.")

    module.on_token_issue = on_token_issue  # type: ignore[attr-defined]
    world = await make_hooked(mcp_server=typed_server.PATH)
    await world.create_user()
    answer = await call(await world.signed_in_browser(), "who")
    assert_html(answer, 403)
    assert "Not on a Sunday." in answer.text


async def test_what_the_operator_attaches_reaches_the_tool(
    make_hooked: MakeWorld, module: ModuleType
) -> None:
    async def on_token_issue(_issue: TokenIssue) -> TokenChanges:
        return TokenChanges(props={"tenant": "north"})

    module.on_token_issue = on_token_issue  # type: ignore[attr-defined]
    world = await make_hooked()
    await world.create_user()
    assert '"tenant": "north"' in shown(await call(await world.signed_in_browser(), "props"))


async def test_one_grant_a_day_serves_every_call(typed: World) -> None:
    browser = await typed.signed_in_browser()
    await call(browser, "who")
    await call(browser, "silent")
    grants = await typed.rows("SELECT client_id, scope, grant_type FROM grants")
    assert [dict(grant) for grant in grants] == [
        {"client_id": "ostiary_tool_tester", "scope": "mcp profile email", "grant_type": "tool_tester"}
    ]
    typed.clock.advance(hours=25)
    await call(await typed.signed_in_browser(), "who")
    assert len(await typed.rows("SELECT id FROM grants")) == 2


async def test_whoever_disables_the_client_switches_the_page_off(typed: World) -> None:
    browser = await typed.signed_in_browser()
    await call(browser, "who")
    async with typed.database.transaction() as tx:
        await tx.execute(sa.text("UPDATE clients SET disabled_at = created_at"))
    page = await browser.get(PATH, params={"tool": "who"})
    form = next(form for form in forms_of(page.text) if form.action == PATH)
    assert_html(await browser.post(PATH, data=form.fields), 403)


async def test_both_messages_are_shown_as_they_went(typed: World) -> None:
    page = shown(await call(await typed.signed_in_browser(), "silent"))
    raw = page.rpartition('aria-label="The tool’s answer">')[2].partition("</pre>")[0]
    request, _, answer = raw.partition("\n\n")
    assert json.loads(request)["params"]["name"] == "silent"
    assert json.loads(answer)["result"]["isError"] is False


async def test_somebody_who_was_disabled_meanwhile_gets_no_token(world: World) -> None:
    """The server's list of tools takes a while; what was known before it is looked at again."""
    services, mallory = world.services, await world.create_user("mallory", is_admin=True)
    await change(world, "UPDATE users SET disabled_at = created_at WHERE username = 'mallory'")
    async with world.database.transaction() as tx:
        context = TokenContext(
            tx,
            Origin(world.clock.now(), "test"),
            services.keys,
            services.signing_keys,
            services.policy,
            find_owner,
            GRANT_TYPE,
            find_vouched,
            lambda _url: None,
        )
        with pytest.raises(AccessDenied):
            await open_tester(context, resource_owner(mallory), services.policy.default_resource)
    assert await world.rows("SELECT id FROM grants") == []
