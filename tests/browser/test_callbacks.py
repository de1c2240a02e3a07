"""After the decision the browser really reaches the app, whatever kind of address it has. CNS-12."""

import re

import pytest
from playwright.async_api import Response, Route, expect

from tests.browser.conftest import Apps, Visit
from tests.browser.listeners import Listener
from tests.browser.visitor import Site, Visitor
from tests.front_channel import answer_to

pytestmark = pytest.mark.browser

CURSOR = "cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback"
SCRIPTS = [pytest.param(True, id="with scripts"), pytest.param(False, id="without scripts")]
DECISIONS = ["approve", "deny"]


def assert_answered(address: str, redirect_uri: str, decision: str, site: Site) -> None:
    """The app got the answer that fits the decision."""
    values = answer_to(address, redirect_uri)
    assert (values["state"], values["iss"]) == ("some state", site.url)
    assert ("code" in values) == (decision == "approve")
    assert values.get("error") == (None if decision == "approve" else "access_denied")


async def arrive(visitor: Visitor, redirect_uri: str) -> str:
    """Wait until the address bar shows the app; returns what it shows."""
    await visitor.page.wait_for_url(re.compile("^" + re.escape(redirect_uri)))
    await expect(visitor.page.locator("h1")).to_have_text("Arrived")
    return visitor.page.url


def last(listener: Listener) -> str:
    """What the app was asked for last, and that the browser did not say where it came from."""
    arrival = listener.arrivals[-1]
    assert arrival.method == "GET"
    assert "referer" not in arrival.headers
    # Cookies know no ports: what listens on the host of the server itself gets its cookies.
    if not arrival.host.startswith("localhost:"):
        assert "cookie" not in arrival.headers
    return arrival.target


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("scripts", SCRIPTS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_cns_12_a_program_on_this_computer_is_reached(
    visit: Visit, site: Site, apps: Apps, host: str, scripts: bool, decision: str
) -> None:
    redirect_uri = f"http://{host}:{apps.local.port}/callback"
    visitor = await visit(java_script_enabled=scripts)
    await visitor.ask(await site.client(redirect_uri))

    await visitor.press(decision)

    assert_answered(await arrive(visitor, redirect_uri), redirect_uri, decision, site)
    assert last(apps.local).startswith("/callback?")


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("scripts", SCRIPTS)
async def test_cns_12_an_app_on_the_web_is_reached(
    visit: Visit, site: Site, apps: Apps, scripts: bool, decision: str
) -> None:
    redirect_uri = "https://claude.ai/api/mcp/auth_callback"
    visitor = await visit(java_script_enabled=scripts)
    await visitor.ask(await site.client(redirect_uri))

    await visitor.press(decision)

    assert_answered(await arrive(visitor, redirect_uri), redirect_uri, decision, site)
    assert last(apps.web).startswith("/api/mcp/auth_callback?")
    assert apps.web.arrivals[-1].host == "claude.ai"


@pytest.mark.parametrize("decision", DECISIONS)
async def test_cns_12_an_app_that_sends_on_to_another_host_is_reached(
    visit: Visit, site: Site, apps: Apps, decision: str
) -> None:
    redirect_uri = "https://app.example/sends/on"
    apps.web.onward["/sends/on"] = "https://onward.example/there"
    visitor = await visit()
    await visitor.ask(await site.client(redirect_uri))

    await visitor.press(decision)

    assert await arrive(visitor, "https://onward.example/there") == "https://onward.example/there"
    [answer] = [url for url in visitor.requested if url.startswith(redirect_uri)]
    assert_answered(answer, redirect_uri, decision, site)
    assert [arrival.host for arrival in apps.web.arrivals[-2:]] == ["app.example", "onward.example"]


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("scripts", SCRIPTS)
async def test_cns_12_an_app_with_its_own_scheme_is_called(
    visit: Visit, site: Site, scripts: bool, decision: str
) -> None:
    """No app answers to the scheme here: what counts is that the browser sets out for it."""
    visitor = await visit(java_script_enabled=scripts)
    await visitor.ask(await site.client(CURSOR))

    async with visitor.page.expect_request(re.compile("^cursor:")) as called:
        await visitor.press(decision)

    assert_answered((await called.value).url, CURSOR, decision, site)


async def test_these_tests_would_notice_a_policy_that_blocks_the_way(visit: Visit, site: Site) -> None:
    visitor = await visit()

    async def strict(route: Route) -> None:
        if route.request.method != "GET":
            await route.continue_()
            return
        answer = await route.fetch()
        policy = answer.headers["content-security-policy"] + "; form-action 'self'"
        await route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": policy})

    await visitor.ask(await site.client(CURSOR))
    # Only what is asked for directly can be changed, not what a redirect leads to.
    await visitor.page.route("**/consent/*", strict)
    await visitor.page.reload()
    async with visitor.page.expect_console_message(lambda message: "form-action" in message.text):
        await visitor.press("approve")
    assert not [url for url in visitor.requested if url.startswith("cursor:")]
    await visitor.context.close()
    visitor.complaints.clear()


async def test_the_way_back_carries_the_code_in_no_header_and_no_history(
    visit: Visit, site: Site, apps: Apps
) -> None:
    redirect_uri = f"http://127.0.0.1:{apps.local.port}/callback"
    visitor = await visit()
    answers: list[Response] = []
    visitor.page.on("response", lambda answer: answers.append(answer))
    await visitor.ask(await site.client(redirect_uri))
    await visitor.press("approve")
    await arrive(visitor, redirect_uri)
    [answer] = [answer for answer in answers if answer.request.method == "POST" and "/consent/" in answer.url]
    assert answer.status in {302, 303}
    assert answer.headers["cache-control"] == "no-store"

    await visitor.page.go_back()

    assert await visitor.page.locator("button[name=decision]").count() in {0, 2}
    if await visitor.page.locator("button[name=decision]").count():
        arrivals = len(apps.local.arrivals)
        await visitor.press("approve")
        await expect(visitor.page.locator("button[name=decision]")).to_have_count(0)
        assert len(apps.local.arrivals) == arrivals


async def test_an_anonymous_person_reaches_the_app_from_an_error_page_by_an_own_click(
    visit: Visit, site: Site, apps: Apps
) -> None:
    redirect_uri = f"http://127.0.0.1:{apps.local.port}/callback"
    visitor = await visit()
    await visitor.page.goto(site.authorization(await site.client(redirect_uri), scope='"'))
    assert visitor.page.url.startswith(site.url)

    await visitor.page.click("a:has-text('Go back to')")

    assert answer_to(await arrive(visitor, redirect_uri), redirect_uri)["error"] == "invalid_scope"
    assert "referer" not in apps.local.arrivals[-1].headers
