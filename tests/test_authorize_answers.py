"""What an authorization request becomes when it is good: AUZ-12, 13, 15, 16, 17, 24, 28, and the state."""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote

import httpx2
import pytest

from tests.front_channel import (
    Standing,
    answer_to,
    assert_page,
    assert_redirect_error,
    is_consent,
    no_effect,
)
from tests.support.world import World

pytest_plugins = ["tests.standing"]

WEB = "https://app.example/callback"
RESOURCE = "http://localhost:8000/mcp"
MakeWorld = Callable[..., Awaitable[World]]


async def approved(
    standing: Standing, client: dict[str, Any], **changes: str | None
) -> tuple[httpx2.Response, str]:
    """The answer to the client, and the text of the page on which it was approved."""
    parked = await standing.world.authorize(standing.signed_in, client, **changes)
    assert is_consent(parked), f"{parked.status_code} {parked.headers.get('location')}"
    consent = await standing.signed_in.get(parked.headers["location"])
    return await standing.world.decide(standing.signed_in, parked.headers["location"]), consent.text


async def issued(standing: Standing, **changes: str | None) -> dict[str, Any]:
    """The token response that a request with these changes leads to."""
    client = await standing.client(WEB)
    answer, _ = await approved(standing, client, **changes)
    code = answer_to(answer.headers["location"], WEB)["code"]
    response = await standing.world.redeem(client, code)
    assert response.status_code == 200, response.text
    tokens: dict[str, Any] = response.json()
    return tokens


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says, unverified."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_auz_28_the_answer_carries_code_state_and_iss_once_and_nothing_else(standing: Standing) -> None:
    client = await standing.client(WEB)
    codes = set()
    for _ in range(20):
        answer, _ = await approved(standing, client)
        assert answer.status_code in {302, 303}
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        values = answer_to(answer.headers["location"], WEB)
        assert values.keys() == {"code", "state", "iss"}
        assert (values["state"], values["iss"]) == ("some state", "http://localhost:8000")
        codes.add(values["code"])
    assert len(codes) == 20
    # 128 bits are 22 letters of base64url; what all codes have in common counts for nothing.
    assert min(len(code.removeprefix("ost_code_")) for code in codes) >= 22


async def test_a_redirect_uri_keeps_its_own_query(standing: Standing) -> None:
    redirect_uri = "https://app.example/callback?tenant=a%20b&x=%2F%3f+y&empty="
    client = await standing.client(redirect_uri)
    answer, _ = await approved(standing, client)
    assert answer_to(answer.headers["location"], redirect_uri).keys() == {"code", "state", "iss"}

    refused = await standing.world.authorize(standing.signed_in, client, scope='"')
    assert_redirect_error(standing.world, refused, redirect_uri, "invalid_scope", "some state")


async def test_a_private_scheme_is_answered_as_registered(standing: Standing) -> None:
    redirect_uri = "cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback"
    answer, _ = await approved(standing, await standing.client(redirect_uri))
    assert answer_to(answer.headers["location"], redirect_uri).keys() == {"code", "state", "iss"}


STATES = [
    pytest.param(" leading, trailing ", id="spaces"),
    pytest.param("a+b&c=d#e%20f;g?h/i", id="signs of a query"),
    pytest.param("%2B%00%zz%", id="percent signs"),
    pytest.param('"><script>alert(1)</script>', id="markup"),
    pytest.param("{{7*7}}${7*7}<%= 7*7 %>", id="templates"),
    pytest.param("zażółć \u202egęślą\u202c 🚪 \u200b e\u0301", id="unicode"),
    pytest.param("\r\nSet-Cookie: a=b\r\n\r\n<html>", id="header splitting"),
    pytest.param("\x7f\x1b\x01", id="control characters"),
    pytest.param("eyJhbGciOiJub25lIn0.e30.==", id="a token"),
    pytest.param("x" * 2000, id="2000 letters"),
    pytest.param("null", id="null"),
    pytest.param("0", id="0"),
]


@pytest.mark.parametrize("state", STATES)
async def test_the_state_comes_back_exactly_with_a_code(standing: Standing, state: str) -> None:
    answer, consent = await approved(standing, await standing.client(WEB), state=state)
    location = answer.headers["location"]
    assert answer_to(location, WEB)["state"] == state
    assert location.isascii()
    assert location.isprintable()
    if len(state) > 10:
        assert state not in consent
    assert "a" not in answer.cookies


@pytest.mark.parametrize("state", STATES)
async def test_the_state_comes_back_exactly_with_an_error(standing: Standing, state: str) -> None:
    client = await standing.client(WEB)
    answer = await standing.world.authorize(standing.signed_in, client, state=state, scope='"')
    assert_redirect_error(standing.world, answer, WEB, "invalid_scope", state)
    parked = await standing.world.authorize(standing.signed_in, client, state=state)
    denied = await standing.world.decide(standing.signed_in, parked.headers["location"], "deny")
    assert_redirect_error(standing.world, denied, WEB, "access_denied", state)


@pytest.mark.parametrize("state", [pytest.param(None, id="left out"), pytest.param("", id="empty")])
async def test_without_a_state_none_is_returned(standing: Standing, state: str | None) -> None:
    client = await standing.client(WEB)
    answer, _ = await approved(standing, client, state=state)
    assert answer_to(answer.headers["location"], WEB).keys() == {"code", "iss"}
    refused = await standing.world.authorize(standing.signed_in, client, state=state, scope='"')
    assert_redirect_error(standing.world, refused, WEB, "invalid_scope", None)


@pytest.mark.parametrize("raw", ["%00", "a%00b", "%FF", "%ED%A0%80", "%C3%28"])
async def test_a_state_that_is_no_text_is_refused_or_comes_back_exactly(standing: Standing, raw: str) -> None:
    client = await standing.client(WEB)
    parameters = httpx2.QueryParams(standing.world.authorization(client, state=None))
    answer = await standing.signed_in.get(f"/authorize?{parameters}&state={raw}")
    if is_consent(answer):
        answer = await standing.world.decide(standing.signed_in, answer.headers["location"])
        assert f"state={raw}" in answer.headers["location"]
    elif answer.status_code == 303:
        assert answer.headers["location"].startswith(WEB + "?error=invalid_request")
    else:
        assert_page(answer)


async def test_unknown_parameters_are_ignored(standing: Standing) -> None:
    client = await standing.client(WEB)
    answer, _ = await approved(
        standing,
        client,
        code="mine",
        iss="https://evil.example",
        audience="x",
        nonce="n",
        access_type="offline",
    )
    values = answer_to(answer.headers["location"], WEB)
    assert values.keys() == {"code", "state", "iss"}
    assert values["code"] != "mine"
    assert values["iss"] == "http://localhost:8000"


@pytest.mark.parametrize("mode", ["fragment", "form_post", "web_message", "query", "x"])
async def test_the_answer_is_never_carried_in_another_way_than_the_query(
    standing: Standing, mode: str
) -> None:
    client = await standing.client(WEB)
    answer = await standing.world.authorize(standing.signed_in, client, response_mode=mode)
    if is_consent(answer):
        answer = await standing.world.decide(standing.signed_in, answer.headers["location"])
        assert "code" in answer_to(answer.headers["location"], WEB)
    else:
        assert_redirect_error(standing.world, answer, WEB, "invalid_request", "some state")


@pytest.mark.parametrize(
    ("sent", "granted"),
    [
        pytest.param(" offline_access", "offline_access", id="AUZ-13 leading space"),
        pytest.param(" mcp", "mcp", id="AUZ-13 leading space, mcp"),
        pytest.param("mcp ", "mcp", id="AUZ-13 trailing space"),
        pytest.param("mcp  profile", "mcp profile", id="AUZ-13 double space"),
        pytest.param("  profile   mcp  ", "mcp profile", id="AUZ-13 spaces everywhere"),
        pytest.param("mcp mcp", "mcp", id="AUZ-13 the same twice"),
        pytest.param("mcp unknown-scope", "mcp", id="AUZ-12 one is unknown"),
    ],
)
async def test_a_scope_is_put_in_order_and_named_in_the_token_response(
    standing: Standing, sent: str, granted: str
) -> None:
    tokens = await issued(standing, scope=sent)
    assert set(granted.split()) <= set(tokens["scope"].split())
    assert "unknown-scope" not in tokens["scope"]
    assert tokens["scope"] == " ".join(tokens["scope"].split())
    assert set(claims_of(tokens["access_token"])["scope"].split()) == set(tokens["scope"].split())


async def test_auz_12_a_scope_that_is_dropped_is_shown_as_dropped(standing: Standing) -> None:
    parked = await standing.world.authorize(
        standing.signed_in, await standing.client(WEB), scope="mcp brew-coffee <b>bold</b>"
    )
    consent = await standing.signed_in.get(parked.headers["location"])
    assert "brew-coffee" in consent.text
    assert "<b>bold</b>" not in consent.text


@pytest.mark.parametrize("scope", [pytest.param(None, id="left out"), pytest.param("", id="empty")])
async def test_without_a_scope_a_default_is_granted_and_named(standing: Standing, scope: str | None) -> None:
    tokens = await issued(standing, scope=scope)
    assert "mcp" in tokens["scope"].split()
    assert (await standing.world.call(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(RESOURCE, id="AUZ-15 canonical"),
        pytest.param(RESOURCE + "/", id="AUZ-15 trailing slash"),
        pytest.param("HTTP://LOCALHOST:8000/mcp", id="AUZ-15 upper case"),
        pytest.param("http://LocalHost:8000/mcp/", id="AUZ-15 mixed case and slash"),
        pytest.param(None, id="AUZ-16 absent"),
        pytest.param("", id="AUZ-16 empty"),
    ],
)
async def test_every_spelling_of_the_resource_gives_one_audience(
    standing: Standing, resource: str | None
) -> None:
    tokens = await issued(standing, resource=resource)
    assert claims_of(tokens["access_token"])["aud"] in (RESOURCE, [RESOURCE])
    assert (await standing.world.call(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize("second", [RESOURCE, RESOURCE + "/", "HTTP://LOCALHOST:8000/mcp"])
async def test_auz_17_the_same_resource_twice_is_one(standing: Standing, second: str) -> None:
    client = await standing.client(WEB)
    query = httpx2.QueryParams([*standing.world.authorization(client).items(), ("resource", second)])
    parked = await standing.signed_in.get("/authorize", params=query)
    answer = await standing.world.decide(standing.signed_in, parked.headers["location"])
    tokens = await standing.world.redeem(client, answer_to(answer.headers["location"], WEB)["code"])
    assert claims_of(tokens.json()["access_token"])["aud"] in (RESOURCE, [RESOURCE])


@pytest.mark.parametrize(
    "resource", ["https://auth.example:443/mcp", "HTTPS://AUTH.EXAMPLE/mcp", "https://auth.example:443/mcp/"]
)
async def test_auz_15_the_default_port_is_no_difference(make_world: MakeWorld, resource: str) -> None:
    world = await make_world(public_url="https://auth.example")
    await world.create_user("alice")
    client = await world.register(redirect_uris=[WEB])
    tokens = await world.tokens(client, resource=resource)
    assert claims_of(tokens["access_token"])["aud"] in (
        "https://auth.example/mcp",
        ["https://auth.example/mcp"],
    )


@pytest.mark.parametrize("path", ["/authorize", "/login"])
async def test_auz_24_plain_http_behind_the_proxy_is_turned_away(make_world: MakeWorld, path: str) -> None:
    world = await make_world(public_url="https://auth.example")
    await world.create_user("alice")
    client = await world.register(redirect_uris=[WEB])
    parameters = world.authorization(client)
    plain = {"x-forwarded-proto": "http", "x-forwarded-for": "203.0.113.9"}

    async with no_effect(world):
        answer = await world.browser("127.0.0.1").get(path, params=parameters, headers=plain)

    for cookie in answer.headers.get_list("set-cookie"):
        assert "secure" in cookie.lower()
    if answer.is_redirect:
        assert answer.headers["location"].startswith(f"https://auth.example{path}")
    else:
        assert_page(answer)
    secure = {**plain, "x-forwarded-proto": "https"}
    assert (await world.browser("127.0.0.1").get(path, params=parameters, headers=secure)).status_code < 400


async def test_auz_24_whoever_is_no_proxy_cannot_say_how_it_came(make_world: MakeWorld) -> None:
    world = await make_world(public_url="https://auth.example")
    client = await world.register(redirect_uris=[WEB])
    answer = await world.browser("203.0.113.9").get(
        "/authorize", params=world.authorization(client), headers={"host": "evil.example"}
    )
    assert answer.status_code == 303
    assert "evil.example" not in unquote(answer.headers["location"])


async def test_a_good_request_of_nobody_waits_until_somebody_signs_in(standing: Standing) -> None:
    client = await standing.client(WEB)
    browser = standing.world.browser()
    async with no_effect(standing.world):
        parked = await standing.world.authorize(browser, client)
    assert parked.status_code == 303
    assert quote(client["client_id"]) not in parked.headers["location"]
    signed_in = await standing.world.sign_in(browser, at=parked.headers["location"])
    assert is_consent(signed_in)
