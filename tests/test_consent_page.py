"""What the question says, when it is asked, and to whom. CNS-7, 8, 9, 10."""

import html
import re

import pytest

from tests.front_channel import Standing, assert_html, assert_page, change, is_consent, no_effect
from tests.support.world import REDIRECT_URI, World, forms_of

pytest_plugins = ["tests.standing"]

WEB = "https://app.example/callback"
KINDS = [
    pytest.param("http://127.0.0.1/callback", id="CNS-7 loopback"),
    pytest.param("http://localhost/callback", id="CNS-7 localhost"),
    pytest.param("cursor://anysphere.cursor-retrieval/oauth/callback", id="CNS-7 custom scheme"),
    pytest.param(WEB, id="CNS-7 registered by itself"),
]


def words_of(page: str) -> str:
    """What a person reads, without markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<body")[2])).split())


async def consent_of(standing: Standing, *redirect_uris: str, **metadata: object) -> str:
    """The page for a client that registers with this."""
    client = await standing.client(*redirect_uris, **metadata)
    parked = await standing.world.authorize(standing.signed_in, client)
    page = await standing.signed_in.get(parked.headers["location"])
    assert_html(page, 200)
    return page.text


@pytest.mark.parametrize("redirect_uri", KINDS)
async def test_an_app_that_was_allowed_before_is_asked_about_again(world: World, redirect_uri: str) -> None:
    client = await world.register(redirect_uris=[redirect_uri])
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client)
    await world.decide(browser, parked.headers["location"])
    async with no_effect(world):
        assert is_consent(await world.authorize(browser, client))


@pytest.mark.parametrize("redirect_uri", KINDS)
@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        pytest.param({"sec-fetch-site": "cross-site"}, {}, id="CNS-8 from another site"),
        pytest.param({"sec-fetch-site": "none"}, {}, id="CNS-8 typed in"),
        pytest.param({"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, {}, id="CNS-8 in a frame"),
        pytest.param({}, {"prompt": "none"}, id="CNS-8 prompt none"),
        pytest.param({}, {"skip_consent": "true", "approval_prompt": "auto"}, id="CNS-8 made-up parameters"),
        pytest.param({}, {"decision": "approve"}, id="CNS-8 the answer in the question"),
    ],
)
async def test_there_is_no_silent_mode(
    standing: Standing, redirect_uri: str, headers: dict[str, str], changes: dict[str, str]
) -> None:
    world, browser = standing.world, standing.signed_in
    client = await standing.client(redirect_uri)
    if not await world.rows("SELECT * FROM grants WHERE client_id = :it", it=client["client_id"]):
        parked = await world.authorize(browser, client)
        await world.decide(browser, parked.headers["location"])
    async with no_effect(world):
        answer = await browser.get(
            "/authorize", params=world.authorization(client, **changes), headers=headers
        )
    assert "code=" not in answer.headers.get("location", "")
    if "prompt" not in changes:
        assert is_consent(answer)


async def test_cns_9_no_page_may_be_framed(world: World) -> None:
    client = await world.register()
    anonymous, browser = world.browser(), await world.signed_in_browser()
    parked = await world.authorize(browser, client)
    pages = [
        await anonymous.get("/"),
        await anonymous.get("/login"),
        await anonymous.get((await world.authorize(anonymous, client)).headers["location"]),
        await browser.get(parked.headers["location"]),
        await browser.get("/logout"),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "DENY"
    assert_page(await world.authorize(browser, client, client_id="unknown"))
    assert_page(await browser.post(parked.headers["location"]), status=403)


@pytest.mark.parametrize(
    "redirect_uri",
    [
        pytest.param("https://evil.example/callback", id="CNS-10 other host"),
        pytest.param("https://claude.ai.evil.example/callback", id="CNS-10 host that begins well"),
        pytest.param("https://evil.example:8443/claude.ai/callback", id="CNS-10 name in the path"),
        pytest.param("https://evil.example/callback?host=claude.ai", id="CNS-10 name in the query"),
    ],
)
async def test_a_borrowed_name_stands_behind_what_is_known(standing: Standing, redirect_uri: str) -> None:
    words = words_of(await consent_of(standing, redirect_uri, client_name="Claude (claude.ai)"))
    host = redirect_uri.split("/")[2].partition(":")[0]
    assert host in words
    assert words.index("not verified") < words.index("Claude")
    assert "this computer" not in words


@pytest.mark.parametrize("redirect_uri", ["http://127.0.0.1/cb", "http://localhost/cb", "http://[::1]/cb"])
async def test_cns_10_a_program_on_this_computer_gets_a_warning(
    standing: Standing, redirect_uri: str
) -> None:
    words = words_of(await consent_of(standing, redirect_uri))
    assert redirect_uri.removeprefix("http://").removesuffix("/cb").strip("[]") in words
    assert "this computer" in words


async def test_cns_10_the_host_of_this_request_is_shown_not_another_of_the_clients(world: World) -> None:
    browser = await world.signed_in_browser()
    client = await world.register(
        redirect_uris=["https://claude.ai/callback", "https://evil.example/callback"]
    )
    parked = await world.authorize(browser, client, redirect_uri="https://evil.example/callback")
    words = words_of((await browser.get(parked.headers["location"])).text)
    assert "evil.example" in words
    assert "claude.ai" not in words


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("<script>alert(1)</script>", id="script"),
        pytest.param("\"><img src=x onerror=alert(1)><a href='//evil.example'>", id="attribute"),
        pytest.param("</title></h1></form><form action='//evil.example'>", id="form"),
        pytest.param("{{ 7*7 }}{% raw %}", id="template"),
        pytest.param("&lt;b&gt;&#60;b&#62;", id="entities"),
        pytest.param("You” may trust “this", id="quotes"),
    ],
)
async def test_a_hostile_name_is_only_a_name(standing: Standing, name: str) -> None:
    page = await consent_of(standing, client_name=name)
    if html.escape(name) != name:
        assert name not in page
    assert "<script" not in page
    assert "<img" not in page
    assert "49" not in re.sub(r'value="[^"]*"|[a-z]+_[0-9a-f]{32}|class="ref">[^<]*', "", page)
    assert [form.action.partition("/")[0] for form in forms_of(page)] == [""]
    assert "You” may trust “this" not in words_of(page)


async def test_the_sign_in_page_of_a_waiting_request_shows_a_hostile_name_as_a_name(world: World) -> None:
    client = await world.register(client_name='"><img src=x onerror=alert(1)>')
    browser = world.browser()
    parked = await world.authorize(browser, client)
    page = await browser.get(parked.headers["location"])
    assert_html(page, 200)
    assert "<img" not in page.text


async def test_refusing_stands_first_and_both_buttons_are_there(standing: Standing) -> None:
    page = await consent_of(standing)
    [form] = forms_of(page)
    assert form.method == "post"
    assert form.buttons == [("decision", "deny"), ("decision", "approve")]


async def test_the_question_is_put_to_signed_in_people_only(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in_browser()
    address = (await world.authorize(browser, client)).headers["location"]
    token = forms_of((await browser.get(address)).text)[0].fields
    anonymous = world.browser()
    async with no_effect(world):
        shown = await anonymous.get(address)
        answer = await anonymous.post(address, data={**token, "decision": "approve"})
    for refused in (shown, answer):
        if refused.status_code == 303:
            assert refused.headers["location"].startswith("/login")
        else:
            assert refused.status_code in {400, 403}
            assert "Test App" not in refused.text


async def test_somebody_elses_question_can_be_neither_read_nor_answered(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in_browser()
    address = (await world.authorize(browser, client)).headers["location"]
    alices = forms_of((await browser.get(address)).text)[0].fields
    await world.create_user("bob")
    bob = await world.signed_in_browser("bob")
    bobs_address = (await world.authorize(bob, client)).headers["location"]
    bobs = forms_of((await bob.get(bobs_address)).text)[0].fields

    async with no_effect(world):
        shown = await bob.get(address)
        answers = [await bob.post(address, data={**form, "decision": "approve"}) for form in (alices, bobs)]

    for answer in (shown, *answers):
        assert answer.status_code in {400, 403, 404}
        assert "code=" not in answer.headers.get("location", "")
    assert (await browser.get(address)).status_code == 200


async def test_a_request_that_waits_in_one_browser_is_of_no_use_in_another(world: World) -> None:
    client = await world.register()
    attacker = world.browser("198.51.100.66")
    parked = (await world.authorize(attacker, client, state="the attacker's")).headers["location"]
    victim = world.browser()
    async with no_effect(world):
        page = await victim.get(parked)
    if page.status_code == 200:
        assert "Test App" not in page.text
        answer = await world.sign_in(victim, at=parked)
        assert not is_consent(answer)
    else:
        assert_page(page)
    signed_in = await world.signed_in_browser()
    consent = await signed_in.get("/consent/" + parked.rpartition("=")[2])
    assert consent.status_code in {400, 403, 404}


async def test_the_page_says_who_is_signed_in(world: World) -> None:
    await world.create_user("mallory", name="<b>Mallory</b>")
    browser = await world.signed_in_browser("mallory")
    parked = await world.authorize(browser, await world.register())
    page = await browser.get(parked.headers["location"])
    assert "mallory" in words_of(page.text)
    assert "<b>Mallory</b>" not in page.text


async def test_a_new_name_of_the_app_is_not_allowed_by_an_answer_to_the_old_one(world: World) -> None:
    client = await world.register(client_name="Old name")
    browser = await world.signed_in_browser()
    address = (await world.authorize(browser, client)).headers["location"]
    form = forms_of((await browser.get(address)).text)[0].fields
    await change(world, "UPDATE clients SET client_name = 'New name'")

    answer = await browser.post(address, data={**form, "decision": "approve"})

    grants = await world.rows("SELECT * FROM grants")
    assert "code=" not in answer.headers.get("location", "") or "Old name" in str(grants)


async def test_an_answer_goes_to_what_was_shown_whatever_the_clocks_say(world: World) -> None:
    """The change came after the page; the clock of the replica that took it over says: before the question."""
    client = await world.register()
    browser = await world.signed_in_browser()
    address = (await world.authorize(browser, client)).headers["location"]
    form = forms_of((await browser.get(address)).text)[0].fields
    uris = f'["{REDIRECT_URI}", "https://evil.example/cb"]'
    await change(world, f"UPDATE clients SET redirect_uris = '{uris}'")  # noqa: S608

    answer = await browser.post(address, data={**form, "decision": "approve"})

    assert_page(answer, status=403)
    assert await world.rows("SELECT * FROM grants") == []
