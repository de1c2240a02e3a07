"""What is wrong with an authorization request, and who is told: AUZ-7, 8, 12, 14, 17, 20, 21, 22."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import httpx2
import pytest

from tests.front_channel import (
    Standing,
    assert_page,
    assert_redirect_error,
    is_consent,
    no_effect,
    one_refusal_on_record,
)
from tests.support.world import CHALLENGE, World, answer_of

pytest_plugins = ["tests.standing"]

WEB = "https://app.example/callback"
STATE = "some state"
RESOURCE = "http://localhost:8000/mcp"


@dataclass(frozen=True)
class Twice:
    """A parameter that is said twice: once more with this value."""

    name: str
    second: str


Change = dict[str, str | None] | Twice

REFUSALS = [
    pytest.param({"response_type": None}, "invalid_request", id="AUZ-7 no response_type"),
    pytest.param({"response_type": ""}, "invalid_request", id="AUZ-7 empty response_type"),
    pytest.param({"response_type": "token"}, "unsupported_response_type", id="AUZ-7 token"),
    pytest.param({"response_type": "code id_token"}, "unsupported_response_type", id="AUZ-7 code id_token"),
    pytest.param({"response_type": "code token"}, "unsupported_response_type", id="AUZ-7 code token"),
    pytest.param({"response_type": "id_token"}, "unsupported_response_type", id="AUZ-7 id_token"),
    pytest.param({"response_type": "none"}, "unsupported_response_type", id="AUZ-7 none"),
    pytest.param({"response_type": "Code"}, "unsupported_response_type", id="AUZ-7 Code"),
    pytest.param({"code_challenge": None}, "invalid_request", id="AUZ-8 no code_challenge"),
    pytest.param({"code_challenge": ""}, "invalid_request", id="AUZ-8 empty code_challenge"),
    pytest.param(
        {"code_challenge": None, "code_challenge_method": None}, "invalid_request", id="AUZ-8 no PKCE at all"
    ),
    pytest.param({"code_challenge": CHALLENGE[:42]}, "invalid_request", id="AUZ-8 short challenge"),
    pytest.param({"code_challenge": CHALLENGE * 3}, "invalid_request", id="AUZ-8 long challenge"),
    pytest.param({"code_challenge": CHALLENGE + "="}, "invalid_request", id="AUZ-8 padded challenge"),
    pytest.param({"code_challenge": "+" + CHALLENGE[1:]}, "invalid_request", id="AUZ-8 alphabet"),
    pytest.param({"code_challenge": CHALLENGE[:42] + "\n"}, "invalid_request", id="AUZ-8 newline"),
    pytest.param({"code_challenge": CHALLENGE[:42] + "\uff11"}, "invalid_request", id="AUZ-8 wide digit"),
    pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="AUZ-8 plain"),
    pytest.param({"code_challenge_method": None}, "invalid_request", id="AUZ-8 no method, which is plain"),
    pytest.param({"code_challenge_method": ""}, "invalid_request", id="AUZ-8 empty method, which is plain"),
    pytest.param({"code_challenge_method": "s256"}, "invalid_request", id="AUZ-8 s256"),
    pytest.param({"code_challenge_method": "S512"}, "invalid_request", id="AUZ-8 S512"),
    pytest.param({"scope": "nothing-known"}, "invalid_scope", id="AUZ-12 only unknown"),
    pytest.param({"scope": "MCP"}, "invalid_scope", id="AUZ-12 other case"),
    pytest.param({"scope": 'mcp "'}, "invalid_scope", id="AUZ-12 quote"),
    pytest.param({"scope": 'mcp"'}, "invalid_scope", id="AUZ-12 quote inside"),
    pytest.param({"scope": "mcp \\"}, "invalid_scope", id="AUZ-12 backslash"),
    pytest.param({"scope": "mcp\tprofile"}, "invalid_scope", id="AUZ-12 tab"),
    pytest.param({"scope": "mcp\nprofile"}, "invalid_scope", id="AUZ-12 newline"),
    pytest.param({"scope": "mcp caf\xe9"}, "invalid_scope", id="AUZ-12 letters outside ASCII"),
    pytest.param({"scope": "mcp\u00a0profile"}, "invalid_scope", id="AUZ-12 no-break space"),
    pytest.param({"resource": "https://other.example/mcp"}, "invalid_target", id="AUZ-14 other host"),
    pytest.param({"resource": "https://localhost:8000/mcp"}, "invalid_target", id="AUZ-14 other scheme"),
    pytest.param({"resource": "http://localhost:8001/mcp"}, "invalid_target", id="AUZ-14 other port"),
    pytest.param({"resource": "http://localhost/mcp"}, "invalid_target", id="AUZ-14 port left out"),
    pytest.param({"resource": "http://127.0.0.1:8000/mcp"}, "invalid_target", id="AUZ-14 address"),
    pytest.param({"resource": RESOURCE + "/other"}, "invalid_target", id="AUZ-14 other path"),
    pytest.param(
        {"resource": "http://localhost:8000/MCP"}, "invalid_target", id="AUZ-14 path in another case"
    ),
    pytest.param({"resource": RESOURCE + "#frag"}, "invalid_target", id="AUZ-14 fragment"),
    pytest.param({"resource": RESOURCE + "#"}, "invalid_target", id="AUZ-14 empty fragment"),
    pytest.param({"resource": RESOURCE + "?x=1"}, "invalid_target", id="AUZ-14 query"),
    pytest.param({"resource": "http://user@localhost:8000/mcp"}, "invalid_target", id="AUZ-14 userinfo"),
    pytest.param(
        {"resource": "http://localhost:8000@evil.example/mcp"}, "invalid_target", id="AUZ-14 as user"
    ),
    pytest.param({"resource": "/mcp"}, "invalid_target", id="AUZ-14 relative"),
    pytest.param(
        {"resource": "//localhost:8000/mcp"}, "invalid_target", id="AUZ-14 without a scheme, slashes"
    ),
    pytest.param({"resource": "mcp.example.com"}, "invalid_target", id="AUZ-14 without a scheme"),
    pytest.param({"resource": "urn:mcp"}, "invalid_target", id="AUZ-14 urn"),
    pytest.param({"resource": "http://[localhost/mcp"}, "invalid_target", id="AUZ-14 broken brackets"),
    pytest.param({"resource": "http://localhost:x/mcp"}, "invalid_target", id="AUZ-14 broken port"),
    pytest.param({"resource": RESOURCE + "\n"}, "invalid_target", id="AUZ-14 newline"),
    pytest.param({"resource": "https://" + "x" * 5000}, "invalid_target", id="AUZ-14 long"),
    pytest.param(
        Twice("resource", "https://other.example/mcp"), "invalid_target", id="AUZ-17 one is foreign"
    ),
    pytest.param(Twice("resource", "mcp"), "invalid_target", id="AUZ-17 one is relative"),
    pytest.param(Twice("response_type", "code"), "invalid_request", id="twice response_type"),
    pytest.param(Twice("scope", "mcp"), "invalid_request", id="twice scope"),
    pytest.param(Twice("code_challenge", CHALLENGE), "invalid_request", id="twice code_challenge"),
    pytest.param(Twice("code_challenge_method", "S256"), "invalid_request", id="twice code_challenge_method"),
    pytest.param(Twice("code_challenge_method", "plain"), "invalid_request", id="twice, the second is plain"),
]


async def request_of(standing: Standing, change: Change) -> str:
    """A good request with this one change, as the query of a URL."""
    client = await standing.client(WEB)
    if isinstance(change, Twice):
        return urlencode([*standing.world.authorization(client).items(), (change.name, change.second)])
    return urlencode(standing.world.authorization(client, **change))


@pytest.mark.parametrize(("change", "error"), REFUSALS)
async def test_auz_21_a_signed_in_person_is_sent_back_with_the_error(
    standing: Standing, change: Change, error: str
) -> None:
    query = await request_of(standing, change)
    async with no_effect(standing.world):
        answer = await standing.signed_in.get(f"/authorize?{query}")
    assert_redirect_error(standing.world, answer, WEB, error, STATE)


@pytest.mark.parametrize(("change", "error"), REFUSALS)
async def test_auz_20_an_anonymous_person_is_never_sent_straight_to_an_address_that_anybody_can_register(
    standing: Standing, change: Change, error: str
) -> None:
    query = await request_of(standing, change)
    async with no_effect(standing.world):
        answer = await standing.world.browser().get(f"/authorize?{query}")
    if answer.status_code == 303:
        assert answer.headers["location"].startswith("/login")
    else:
        assert_page(answer, [value for _, value in parse_qsl(query)])
        assert "app.example" in answer.text


@pytest.mark.parametrize(("change", "error"), REFUSALS)
async def test_auz_22_a_posted_request_is_checked_in_the_same_way(
    standing: Standing, change: Change, error: str
) -> None:
    query = await request_of(standing, change)
    async with no_effect(standing.world):
        answer = await standing.signed_in.post(
            "/authorize",
            content=query,
            headers={"content-type": "application/x-www-form-urlencoded", "origin": "https://evil.example"},
        )
    assert_redirect_error(standing.world, answer, WEB, error, STATE)


async def test_a_refusal_that_goes_to_the_client_is_on_record(standing: Standing) -> None:
    client = await standing.client(WEB)
    secrets = {"state": "nobody's business", "challenge": CHALLENGE}
    async with one_refusal_on_record(standing.world, secrets):
        await standing.world.authorize(
            standing.signed_in, client, state=secrets["state"], code_challenge_method="plain"
        )


async def test_auz_8_a_confidential_client_needs_pkce_too(standing: Standing) -> None:
    client = await standing.client(WEB, token_endpoint_auth_method="client_secret_basic")
    answer = await standing.world.authorize(standing.signed_in, client, code_challenge=None)
    assert_redirect_error(standing.world, answer, WEB, "invalid_request", STATE)


async def test_auz_12_five_thousand_scopes_do_no_harm(standing: Standing) -> None:
    client = await standing.client(WEB)
    scope = " ".join(["mcp", *(f"unknown-{number}" for number in range(5000))])

    answer = await standing.world.authorize(standing.signed_in, client, scope=scope)

    if not is_consent(answer):
        assert_redirect_error(standing.world, answer, WEB, "invalid_scope", STATE)
        return
    consent = await standing.signed_in.get(answer.headers["location"])
    assert len(consent.text) < 20_000
    assert "unknown-0" in consent.text


async def test_auz_20_the_page_shows_nothing_of_a_hostile_request_as_markup(standing: Standing) -> None:
    client = await standing.client(WEB)
    hostile = "\"><img src=x onerror=alert(1)><a href='//evil.example'>"
    for name in ("state", "scope", "response_type", "resource", "code_challenge_method"):
        changes = {"scope": '"', name: hostile}
        answer = await standing.world.authorize(standing.world.browser(), client, **changes)
        assert_page(answer, [hostile])
        assert "<img" not in answer.text


async def test_auz_20_a_made_up_session_cookie_is_nobody(standing: Standing) -> None:
    client = await standing.client(WEB)
    browser = standing.world.browser()
    browser.cookies.set("ostiary_session", "ost_session_" + "x" * 43)
    answer = await standing.world.authorize(browser, client, scope='"')
    assert_page(answer)


async def test_auz_22_a_posted_request_from_another_site_leads_to_the_question_only(
    standing: Standing,
) -> None:
    client = await standing.client(WEB)
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    for browser in standing.browsers():
        async with no_effect(standing.world):
            answer = await browser.post(
                "/authorize", data=standing.world.authorization(client), headers=headers
            )
            if answer.headers["location"].startswith("/authorize?"):
                answer = await browser.get(answer.headers["location"], headers=headers)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(("/consent/", "/login"))
    assert await standing.world.rows("SELECT * FROM authorization_codes") == []


async def test_auz_22_a_form_of_another_site_takes_nothing_from_the_browser(world: World) -> None:
    """Browsers send it without our cookies (`SameSite=Lax`), and would take a new one."""
    client, browser = await world.register(), await world.signed_in_browser()
    waiting = await world.authorize(browser, client)
    posted = await world.browser().post(
        "/authorize",
        data=world.authorization(client, scope="mcp", resource="http://localhost:8000/mcp", state="a b&c=ü"),
        headers={"origin": "https://app.example", "sec-fetch-site": "cross-site"},
    )
    assert posted.status_code == 303
    assert "set-cookie" not in posted.headers
    # The step that the browser takes next is a navigation by GET, with its cookies.
    asked = await browser.get(posted.headers["location"])
    assert "set-cookie" not in asked.headers
    for answer in (waiting, asked):
        assert answer.headers["location"].startswith("/consent/")
        decided = await world.decide(browser, answer.headers["location"])
        assert answer_of(decided.headers["location"])["code"]
    assert answer_of(decided.headers["location"])["state"] == "a b&c=ü"


async def test_auz_22_what_fits_into_no_address_is_taken_as_it_comes(world: World) -> None:
    browser, client = world.browser(), await world.register()
    data = world.authorization(client, padding="x" * 8000)
    asked = await browser.post("/authorize", data=data)
    assert asked.headers["location"].startswith("/login?request=")
    assert "Test App" in (await browser.get(asked.headers["location"])).text


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("application/json", "{}", id="AUZ-22 JSON"),
        pytest.param("text/plain", "client_id=x", id="AUZ-22 text"),
        pytest.param("multipart/form-data; boundary=x", "--x\r\nbroken", id="AUZ-22 broken multipart"),
        pytest.param("application/x-www-form-urlencoded", "%ff=%ff&&==&client_id", id="AUZ-22 broken form"),
        pytest.param("application/x-www-form-urlencoded", "", id="AUZ-22 nothing"),
    ],
)
async def test_a_posted_request_that_cannot_be_read_gets_a_page(
    standing: Standing, content_type: str, body: str
) -> None:
    async with no_effect(standing.world):
        answer = await standing.signed_in.post(
            "/authorize", content=body, headers={"content-type": content_type}
        )
    assert_page(answer)


@pytest.mark.parametrize(
    "name", ["response_type", "scope", "code_challenge", "code_challenge_method", "resource", "redirect_uri"]
)
async def test_a_parameter_with_a_nul_is_refused(standing: Standing, name: str) -> None:
    parameters = standing.world.authorization(await standing.client(WEB))
    for browser in standing.browsers():
        async with no_effect(standing.world):
            answer = await browser.get("/authorize", params={**parameters, name: parameters[name] + "\x00"})
        if answer.status_code == 303:
            assert "error=" in answer.headers["location"]
        else:
            assert_page(answer)


async def test_saying_the_state_twice_is_refused(standing: Standing) -> None:
    client = await standing.client(WEB)
    query = httpx2.QueryParams([*standing.world.authorization(client).items(), ("state", "another")])
    answer = await standing.signed_in.get("/authorize", params=query)
    if answer.status_code == 303:
        assert answer.headers["location"].startswith(WEB + "?")
        assert "error=invalid_request" in answer.headers["location"]
        assert "code=" not in answer.headers["location"]
    else:
        assert_page(answer)
