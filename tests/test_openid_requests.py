"""What a client may ask of the sign-in (OpenID Connect Core §3.1.2.1): malformed, in silence, of whom, and by name."""

import html
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
import pytest

from app.oauth import jwt
from tests.front_channel import (
    Standing,
    assert_html,
    assert_page,
    assert_redirect_error,
    good_consent_token,
    is_consent,
    no_effect,
    one_refusal_on_record,
)
from tests.support.world import REDIRECT_URI, World, answer_of, forms_of
from tests.test_access_tokens import segments, signing_key
from tests.test_authorize_errors import Change, Twice

pytest_plugins = ["tests.standing"]

WEB = "https://app.example/callback"
STATE = "some state"
OPENID = "openid mcp profile"

MALFORMED = [
    pytest.param({"nonce": "x" * 513}, "invalid_request", id="nonce too long"),
    pytest.param({"nonce": "x" * 60_000}, "invalid_request", id="nonce huge"),
    pytest.param(Twice("nonce", "another"), "invalid_request", id="nonce twice"),
    pytest.param({"prompt": "none login"}, "invalid_request", id="none with login"),
    pytest.param({"prompt": "consent none"}, "invalid_request", id="none with consent"),
    pytest.param({"prompt": "none select_account"}, "invalid_request", id="none with select_account"),
    pytest.param({"prompt": "create"}, "invalid_request", id="prompt that is not supported"),
    pytest.param({"prompt": "login create"}, "invalid_request", id="prompt, one of them not supported"),
    pytest.param({"prompt": "None"}, "invalid_request", id="prompt in another case"),
    pytest.param({"prompt": "login,consent"}, "invalid_request", id="prompt with a comma"),
    pytest.param({"prompt": "login\tconsent"}, "invalid_request", id="prompt with a tab"),
    pytest.param({"prompt": "[]"}, "invalid_request", id="prompt as a list"),
    pytest.param({"prompt": "x" * 60_000}, "invalid_request", id="prompt huge"),
    pytest.param(Twice("prompt", "login"), "invalid_request", id="prompt twice"),
    pytest.param({"max_age": "-1"}, "invalid_request", id="max_age negative"),
    pytest.param({"max_age": "+1"}, "invalid_request", id="max_age with a sign"),
    pytest.param({"max_age": "1.5"}, "invalid_request", id="max_age with a point"),
    pytest.param({"max_age": "1e3"}, "invalid_request", id="max_age with an exponent"),
    pytest.param({"max_age": "0x10"}, "invalid_request", id="max_age hexadecimal"),
    pytest.param({"max_age": "1_000"}, "invalid_request", id="max_age with an underscore"),
    pytest.param({"max_age": " 1"}, "invalid_request", id="max_age with a space"),
    pytest.param({"max_age": "1\n"}, "invalid_request", id="max_age with a newline"),
    pytest.param({"max_age": "\u0661"}, "invalid_request", id="max_age in other digits"),
    pytest.param({"max_age": "\u00b2"}, "invalid_request", id="max_age raised"),
    pytest.param({"max_age": "NaN"}, "invalid_request", id="max_age no number"),
    pytest.param({"max_age": "true"}, "invalid_request", id="max_age true"),
    pytest.param({"max_age": "{}"}, "invalid_request", id="max_age an object"),
    pytest.param(Twice("max_age", "60"), "invalid_request", id="max_age twice"),
    pytest.param(Twice("login_hint", "bob"), "invalid_request", id="login_hint twice"),
    pytest.param(Twice("id_token_hint", "x"), "invalid_request", id="id_token_hint twice"),
    pytest.param({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported", id="request object"),
    pytest.param({"request": "x"}, "request_not_supported", id="request that is none"),
    pytest.param(Twice("request", "y"), "invalid_request", id="request twice"),
]

IGNORED = [
    pytest.param({name: value}, id=f"{name} {label}")
    for name in ("ui_locales", "acr_values", "display", "claims", "claims_locales", "registration")
    for label, value in (
        ("as meant", "page"),
        ("JSON", '{"id_token":{"email":{"essential":true},"sub":{"value":"x"}}}'),
        ("broken JSON", '{"id_token":'),
        ("huge", "x" * 20_000),
        ("empty", ""),
    )
] + [
    pytest.param({"prompt": ""}, id="prompt empty"),
    pytest.param({"prompt": "  "}, id="prompt of spaces"),
    pytest.param({"prompt": " consent  consent "}, id="prompt said twice in one"),
    pytest.param({"max_age": ""}, id="max_age empty"),
    pytest.param({"max_age": "604800"}, id="max_age a week"),
    pytest.param({"max_age": "9" * 9}, id="max_age 31 years"),
    pytest.param({"max_age": "1" + "0" * 30}, id="max_age 10^30"),
    pytest.param({"max_age": "1" * 5000}, id="max_age of 5000 digits"),
    pytest.param({"id_token_hint": ""}, id="id_token_hint empty"),
    pytest.param({"id_token_hint": "x"}, id="id_token_hint no token"),
    pytest.param({"id_token_hint": "x" * 60_000}, id="id_token_hint huge"),
    pytest.param({"id_token_hint": "\u00e9.\u00e9.\u00e9"}, id="id_token_hint not ASCII"),
    pytest.param({"id_token_hint": "e30.e30."}, id="id_token_hint unsigned"),
    pytest.param({"login_hint": "x" * 60_000}, id="login_hint huge"),
    pytest.param({"login_hint": "\x01\u202e"}, id="login_hint of controls"),
]


def query_of(standing: Standing, client: dict[str, Any], change: Change) -> str:
    """A good request with this one change, as the query of a URL."""
    parameters = standing.world.authorization(client, scope=OPENID)
    if isinstance(change, Twice):
        return urlencode([*parameters.items(), (change.name, "60"), (change.name, change.second)])
    return urlencode({**parameters, **change})


async def id_token(world: World, client: dict[str, Any], username: str = "alice") -> str:
    """An ID token that this client has of this person."""
    token: str = (await world.tokens(client, username, scope=OPENID))["id_token"]
    return token


def fields_of(page: httpx2.Response) -> dict[str, str]:
    """What the sign-in form of a page is filled in with."""
    return next(form.fields for form in forms_of(page.text) if "password" in form.fields)


# ------------------------------------------------------------------------------------------ malformed
@pytest.mark.parametrize(("change", "error"), MALFORMED)
async def test_a_malformed_parameter_is_refused(standing: Standing, change: Change, error: str) -> None:
    client = await standing.client(WEB)
    query = query_of(standing, client, change)
    async with no_effect(standing.world):
        answer = await standing.signed_in.get(f"/authorize?{query}")
        anonymous = await standing.world.browser().get(f"/authorize?{query}")
    assert_redirect_error(standing.world, answer, WEB, error, STATE)
    assert_page(anonymous, [value for _, value in parse_qsl(query)])
    assert "app.example" in anonymous.text


@pytest.mark.parametrize("change", IGNORED)
async def test_what_means_nothing_here_is_ignored(standing: Standing, change: Change) -> None:
    """§3.1.2.1: parameters that are not understood SHOULD be ignored; hints are hints."""
    client = await standing.client(WEB)
    answer = await standing.signed_in.get(f"/authorize?{query_of(standing, client, change)}")
    assert is_consent(answer), answer.headers.get("location")
    page = await standing.signed_in.get(answer.headers["location"])
    assert page.status_code == 200


@pytest.mark.parametrize("name", ["nonce", "prompt", "max_age", "login_hint", "id_token_hint"])
async def test_a_nul_is_refused(standing: Standing, name: str) -> None:
    client = await standing.client(WEB)
    query = query_of(standing, client, {name: "a\x00"})
    async with no_effect(standing.world):
        answer = await standing.signed_in.get(f"/authorize?{query}")
    assert_page(answer)


async def test_a_refusal_of_silence_is_on_record(standing: Standing) -> None:
    client = await standing.client(WEB)
    async with one_refusal_on_record(standing.world, {"nonce": "nobody's business"}):
        await standing.world.authorize(standing.signed_in, client, prompt="none", nonce="nobody's business")


# ------------------------------------------------------------------------------------------ prompt=none
SILENT = [
    pytest.param({}, "consent_required", id="3.1.2.6 consent is asked every time"),
    pytest.param({"max_age": "600"}, "consent_required", id="signed in lately enough"),
    pytest.param({"max_age": "59"}, "login_required", id="signed in too long ago"),
    pytest.param({"max_age": "0"}, "login_required", id="max_age 0"),
    pytest.param({"id_token_hint": "alice"}, "consent_required", id="the one who is meant"),
    pytest.param({"id_token_hint": "bob"}, "login_required", id="someone else is meant"),
    pytest.param({"id_token_hint": "other client"}, "login_required", id="ID token of another client"),
    pytest.param({"id_token_hint": "other issuer"}, "login_required", id="ID token of another issuer"),
    pytest.param({"id_token_hint": "other key"}, "login_required", id="ID token of another key"),
    pytest.param({"id_token_hint": "access token"}, "login_required", id="access token as a hint"),
    pytest.param({"id_token_hint": "garbage"}, "login_required", id="no token as a hint"),
]


@pytest.mark.parametrize(("changes", "error"), SILENT)
async def test_prompt_none_never_shows_a_page_to_someone_who_is_signed_in(
    world: World, changes: dict[str, str], error: str
) -> None:
    await world.create_user("bob")
    client, other = await world.register(), await world.register()
    mine = await world.tokens(client, scope=OPENID)
    claims, key = segments(mine["id_token"])[1], signing_key(world)
    hints = {
        "alice": mine["id_token"],
        "bob": await id_token(world, client, "bob"),
        "other client": await id_token(world, other),
        "other issuer": jwt.sign({**claims, "iss": "https://evil.example"}, key, "JWT"),
        "other key": jwt.sign(claims, jwt.generate_signing_key(), "JWT"),
        "access token": mine["access_token"],
        "garbage": "garbage",
    }
    changes = {name: hints.get(value, value) for name, value in changes.items()}
    browser = await world.signed_in_browser()
    world.clock.advance(seconds=60)
    before = await world.rows("SELECT count(*) AS n FROM authorization_requests")
    async with no_effect(world):
        answer = await world.authorize(browser, client, scope=OPENID, prompt="none", **changes)
    assert_redirect_error(world, answer, REDIRECT_URI, error, STATE)
    assert await world.rows("SELECT count(*) AS n FROM authorization_requests") == before


async def test_auz_20_prompt_none_bounces_nobody_who_is_not_signed_in(standing: Standing) -> None:
    """RFC 9700 §4.11.2 over §3.1.2.6: a page names the host, and its link tells the client `login_required`."""
    client = await standing.client(WEB)
    async with no_effect(standing.world):
        answer = await standing.world.authorize(standing.world.browser(), client, prompt="none")
    assert_page(answer)
    (link,) = re.findall(r'href="(https://app\.example/[^"]*)"', answer.text)
    values = answer_of(html.unescape(link))
    assert (values["error"], values["state"], values["iss"]) == (
        "login_required",
        STATE,
        "http://localhost:8000",
    )
    assert "<form" not in answer.text


# ------------------------------------------------------------------------------------------ who
async def test_select_account_lets_the_person_stay_or_change(world: World) -> None:
    await world.create_user("bob")
    client, browser = await world.register(), await world.signed_in_browser()
    asked = await world.authorize(browser, client, scope=OPENID, prompt="select_account")
    page = await browser.get(asked.headers["location"])
    assert_html(page, 200)
    assert "Alice" in page.text
    assert fields_of(page)["username"] == ""
    (onward,) = re.findall(r'href="(/consent/[^"]*)"', page.text)
    assert (await browser.get(onward)).status_code == 200

    signed_in = await world.sign_in(browser, "bob", at=asked.headers["location"])
    assert signed_in.headers["location"] == onward
    answer = await world.decide(browser, onward)
    tokens = (await world.redeem(client, answer_of(answer.headers["location"])["code"])).json()
    assert segments(tokens["id_token"])[1]["preferred_username"] == "bob"


async def test_a_hint_that_names_who_is_signed_in_changes_nothing(world: World) -> None:
    client, browser = await world.register(), await world.signed_in_browser()
    hint = await id_token(world, client)
    world.clock.advance(hours=3)  # §3.1.2.1: an ID token that is over is a good hint
    assert is_consent(await world.authorize(browser, client, scope=OPENID, id_token_hint=hint))


async def test_a_hint_that_names_someone_else_lets_only_them_answer(world: World) -> None:
    await world.create_user("bob")
    client, browser = await world.register(), await world.signed_in_browser()
    hint = await id_token(world, client, "bob")
    asked = await world.authorize(browser, client, scope=OPENID, id_token_hint=hint)
    address = asked.headers["location"]
    assert address.startswith("/login?request=")
    page = await browser.get(address)
    assert "expects someone else" in page.text
    assert "bob" not in page.text.lower()

    # Alice may sign in as often as she likes.
    again = await world.sign_in(browser, at=address)
    assert (await browser.get(again.headers["location"])).headers["location"] == address
    signed_in = await world.sign_in(browser, "bob", at=address)
    answer = await world.decide(browser, signed_in.headers["location"])
    tokens = (await world.redeem(client, answer_of(answer.headers["location"])["code"])).json()
    assert segments(tokens["id_token"])[1]["sub"] == segments(hint)[1]["sub"]


async def test_nobody_else_approves_what_the_hint_keeps_for_one_person(world: World) -> None:
    await world.create_user("bob")
    client, browser = await world.register(), await world.signed_in_browser()
    hint = await id_token(world, client, "bob")
    asked = await world.authorize(browser, client, scope=OPENID, id_token_hint=hint)
    request_id = asked.headers["location"].partition("request=")[2]
    (session,) = [
        row["id_hash"]
        for row in await world.rows(
            "SELECT id_hash FROM sessions JOIN users ON users.id = user_id WHERE username = 'alice'"
        )
    ]
    token = await good_consent_token(world, session, request_id, client["client_id"], OPENID)
    async with no_effect(world):
        answer = await browser.post(
            f"/consent/{request_id}", data={"csrf_token": token, "decision": "approve"}
        )
    assert_page(answer)


@pytest.mark.parametrize("whose", ["another client's", "another issuer's", "nobody's"])
async def test_a_hint_that_is_not_ours_for_this_client_is_ignored(world: World, whose: str) -> None:
    """A token that client A leaks tells client B nothing, and binds nobody."""
    await world.create_user("bob")
    client, browser = await world.register(), await world.signed_in_browser()
    foreign = await id_token(world, await world.register(), "bob")
    claims = segments(foreign)[1] | {"aud": client["client_id"]}
    hint = {
        "another client's": foreign,
        "another issuer's": jwt.sign({**claims, "iss": "https://evil.example"}, signing_key(world), "JWT"),
        "nobody's": jwt.sign(claims, jwt.generate_signing_key(), "JWT"),
    }[whose]
    assert is_consent(await world.authorize(browser, client, scope=OPENID, id_token_hint=hint))


# ------------------------------------------------------------------------------------------ the name to fill in
HINTS = [
    pytest.param("bob", "bob", id="a name"),
    pytest.param(" bob@example.com ", "bob@example.com", id="an address, spaces around it"),
    pytest.param("zażółć 🚪", "zażółć 🚪", id="unicode"),
    pytest.param('"><img src=x onerror=alert(1)>', '"><img src=x onerror=alert(1)>', id="markup"),
    pytest.param("{{7*7}}", "{{7*7}}", id="a template"),
    pytest.param("x" * 200, "x" * 200, id="200 letters"),
    pytest.param("x" * 201, "", id="201 letters"),
    pytest.param("a\r\nb", "", id="two lines"),
    pytest.param("\u202egro.elpmaxe", "", id="turned round"),
    pytest.param("   ", "", id="spaces"),
]


@pytest.mark.parametrize(("hint", "filled_in"), HINTS)
async def test_the_login_hint_is_filled_in_as_text(standing: Standing, hint: str, filled_in: str) -> None:
    client, browser = await standing.client(WEB), standing.world.browser()
    parked = await standing.world.authorize(browser, client, login_hint=hint)
    assert "bob" not in parked.headers["location"]
    page = await browser.get(parked.headers["location"])
    assert_html(page, 200)
    assert fields_of(page)["username"] == filled_in
    assert "<img src=x" not in page.text


async def test_the_login_hint_goes_before_the_name_of_who_signs_in_again(world: World) -> None:
    client, browser = await world.register(), await world.signed_in_browser()
    world.clock.advance(seconds=60)
    parked = await world.authorize(browser, client, prompt="login", login_hint="bob")
    assert fields_of(await browser.get(parked.headers["location"]))["username"] == "bob"


async def test_lgn_1_the_login_hint_tells_nobody_who_exists(standing: Standing) -> None:
    client = await standing.client(WEB)
    pages = []
    for name in ("alice", "nobdy"):
        browser = standing.world.browser()
        parked = await standing.world.authorize(browser, client, login_hint=name)
        page = await browser.get(parked.headers["location"])
        tokens = re.compile(r'(value|nonce)="[^"]*"|challenge&#34;: &#34;[^&]*')
        pages.append(tokens.sub("", page.text))
    assert pages[0] == pages[1]


async def test_what_is_typed_stays_after_a_wrong_password(standing: Standing) -> None:
    client, browser = await standing.client(WEB), standing.world.browser()
    parked = await standing.world.authorize(browser, client, login_hint="bob")
    wrong = await standing.world.sign_in(browser, "carol", "wrong password", at=parked.headers["location"])
    assert wrong.status_code == 401
    assert fields_of(wrong)["username"] == "carol"
