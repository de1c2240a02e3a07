"""Signing in with another OpenID provider: who people are here, and everything that is refused (Core §3.1.3.7)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from tests.front_channel import assert_html, change
from tests.support.openid_provider import OpenIDServer
from tests.support.world import World, answer_of
from tests.upstream import (
    BEGIN,
    VERIFIED,
    come_back,
    provider,
    refusals,
    sent_to,
    sign_in_there,
    world_with,
)

__all__ = ["provider"]


@pytest.fixture
async def world(database_url: str, provider: OpenIDServer) -> AsyncIterator[World]:
    """People may sign in at the provider, and nobody new comes in."""
    async for made in world_with(database_url, provider):
        yield made


async def identities(world: World) -> list[tuple[str, str]]:
    """Who is linked to what."""
    rows = await world.rows(
        "SELECT username, subject FROM identities JOIN users ON users.id = user_id ORDER BY username, subject"
    )
    return [(row["username"], row["subject"]) for row in rows]


async def sessions(world: World) -> list[tuple[str, str]]:
    """Who is signed in, and how."""
    rows = await world.rows(
        "SELECT username, methods FROM sessions JOIN users ON users.id = user_id ORDER BY sessions.created_at"
    )
    return [(row["username"], row["methods"]) for row in rows]


async def test_somebody_with_the_address_that_both_sides_verified_signs_in(
    world: World, provider: OpenIDServer
) -> None:
    answer = await sign_in_there(world, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert await sessions(world) == [("alice", "fed")]
    assert await identities(world) == [("alice", "ext-1")]
    events = await world.rows("SELECT event, reason FROM audit_events WHERE event LIKE 'user.%' ORDER BY id")
    assert ("user.linked", provider.issuer) in [(row["event"], row["reason"]) for row in events]


async def test_the_next_time_the_subject_counts_and_no_address(world: World, provider: OpenIDServer) -> None:
    await sign_in_there(world, provider)
    await sign_in_there(world, provider, sub="ext-1", email="bob@example.com", email_verified=True)
    assert [name for name, _ in await sessions(world)] == ["alice", "alice"]
    assert await identities(world) == [("alice", "ext-1")]


async def test_a_sign_in_in_the_middle_of_a_flow_goes_on_with_it(
    world: World, provider: OpenIDServer
) -> None:
    """LGN-1: also when a second tab began another one meanwhile."""
    browser, client = world.browser(), await world.register()
    asked = [await world.authorize(browser, client) for _ in range(2)]
    pages = [str(each.headers["location"]) for each in asked]
    there = [await sent_to(browser, page) for page in pages]
    for page, address in zip(pages, there, strict=True):
        answer = await come_back(browser, provider.approve(address, **VERIFIED))
        consent = answer.headers["location"]
        assert consent.startswith("/consent/")
        assert consent.rpartition("/")[2] in page
        decided = await world.decide(browser, consent)
        assert "code" in answer_of(decided.headers["location"])


async def test_a_second_factor_is_asked_for_all_the_same(world: World, provider: OpenIDServer) -> None:
    """LGN: another provider is one factor."""
    await change(
        world,
        "INSERT INTO authenticators (user_id, secret_sealed, last_step, created_at) "
        "SELECT id, 'x', 0, created_at FROM users WHERE username = 'alice'",
    )
    answer = await sign_in_there(world, provider)
    assert answer.headers["location"].startswith("/login/second?sign_in=")
    assert await sessions(world) == []


async def test_what_is_sent_along_is_new_each_time_and_of_our_own(
    world: World, provider: OpenIDServer
) -> None:
    seen = [
        {name: values[0] for name, values in parse_qs(urlsplit(await sent_to(world.browser())).query).items()}
        for _ in range(2)
    ]
    for query in seen:
        assert query["redirect_uri"] == f"{world.settings.public_url}/login/upstream/example/callback"
        assert query["scope"] == "openid email profile"
    for name in ("state", "nonce", "code_challenge"):
        assert seen[0][name] != seen[1][name]
        assert len(seen[0][name]) >= 43
    rows = str(await world.rows("SELECT * FROM upstream_sign_ins"))
    assert seen[0]["state"] not in rows


UNVERIFIED = {"sub": "ext-2", "email": "alice@example.com"}


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        pytest.param({"sub": "ext-2"}, "not_known_here", id="no address"),
        pytest.param(UNVERIFIED, "not_known_here", id="nobody says that it is verified"),
        pytest.param({**UNVERIFIED, "email_verified": False}, "not_known_here", id="not verified"),
        pytest.param({**UNVERIFIED, "email_verified": "true"}, "not_known_here", id="verified, as a text"),
        pytest.param({**UNVERIFIED, "email_verified": 1}, "not_known_here", id="verified, as a number"),
        pytest.param({**VERIFIED, "email": "x@y\r\nBcc: z"}, "not_known_here", id="an address that is none"),
        pytest.param(
            {**VERIFIED, "email": ["alice@example.com"]}, "not_known_here", id="a list of addresses"
        ),
        pytest.param({**VERIFIED, "email": "carol@example.com"}, "not_known_here", id="nobody's address"),
        pytest.param(
            {**VERIFIED, "email": "bob@example.com"}, "address_taken", id="an address not verified here"
        ),
    ],
)
async def test_an_address_is_only_good_when_both_sides_verified_it(
    world: World, provider: OpenIDServer, person: dict[str, Any], reason: str
) -> None:
    answer = await sign_in_there(world, provider, **person)
    assert_html(answer, 401)
    assert await sessions(world) == []
    assert await identities(world) == []
    assert await refusals(world) == [f"example: {reason}"]


async def test_an_address_that_two_people_have_names_nobody(world: World, provider: OpenIDServer) -> None:
    await change(world, "UPDATE users SET email = 'Alice@example.com', email_verified_at = created_at")
    assert_html(await sign_in_there(world, provider), 401)
    assert await refusals(world) == ["example: address_taken"]


@pytest.mark.parametrize("known", [True, False])
async def test_lgn_10_somebody_who_is_disabled_is_not_let_in(
    world: World, provider: OpenIDServer, known: bool
) -> None:
    if known:
        await sign_in_there(world, provider)
        await change(world, "DELETE FROM sessions")
    await change(world, "UPDATE users SET disabled_at = created_at WHERE username = 'alice'")
    answer = await sign_in_there(world, provider)
    assert_html(answer, 401)
    assert await sessions(world) == []
    assert await refusals(world) == ["example: user_disabled"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"claims": {"iss": "https://evil.example"}}, "id_token_issuer", id="issuer of another"),
        pytest.param({"claims": {"aud": "another"}}, "id_token_audience", id="for another client"),
        pytest.param({"claims": {"aud": None}}, "id_token_audience", id="for nobody"),
        pytest.param(
            {"claims": {"aud": ["ostiary at the tests", "another"]}},
            "id_token_audience",
            id="for two, no party",
        ),
        pytest.param({"claims": {"azp": "another"}}, "id_token_audience", id="another authorized party"),
        pytest.param({"claims": {"nonce": "x" * 43}}, "id_token_nonce", id="another nonce"),
        pytest.param({"claims": {"nonce": None}}, "id_token_nonce", id="no nonce"),
        pytest.param({"claims": {"exp": 1}}, "id_token_time", id="over"),
        pytest.param({"claims": {"exp": None}}, "id_token_time", id="without an end"),
        pytest.param({"claims": {"exp": True}}, "id_token_time", id="an end that is none"),
        pytest.param({"claims": {"iat": 4102444800}}, "id_token_time", id="of a time to come"),
        pytest.param({"claims": {"iat": 1000000000}}, "id_token_time", id="old"),
        pytest.param({"claims": {"iat": "now"}}, "id_token_time", id="a time that is none"),
        pytest.param({"claims": {"sub": ""}}, "id_token_subject", id="without a subject"),
        pytest.param({"claims": {"sub": 7}}, "id_token_subject", id="a number as the subject"),
        pytest.param({"claims": {"sub": "x" * 300}}, "id_token_subject", id="a subject without end"),
        pytest.param({"header": {"alg": "none"}}, "id_token_malformed", id="alg none"),
        pytest.param({"header": {"typ": "at+jwt"}}, "id_token_malformed", id="another kind of token"),
        pytest.param({"header": {"kid": "three"}}, "id_token_signature", id="a key that it does not publish"),
        pytest.param({"answer": {"iss": "https://evil.example"}}, "wrong_issuer", id="RFC 9207: of another"),
        pytest.param({"answer": {"code": None, "error": "access_denied"}}, "declined", id="declined"),
        pytest.param({"answer": {"code": None, "error": "server_error"}}, "provider_error", id="an error"),
        pytest.param({"answer": {"code": None}}, "code_missing", id="no code"),
        pytest.param({"answer": {"code": "guessed"}}, "code_refused", id="a code that it did not give"),
        pytest.param({"metadata": {"jwks_uri": "http://127.0.0.1:1/keys"}}, "keys_unavailable", id="no keys"),
    ],
)
async def test_what_the_provider_says_is_checked(
    world: World, provider: OpenIDServer, changes: dict[str, Any], reason: str
) -> None:
    for name, value in changes.items():
        getattr(provider, name).update(value)
    answer = await sign_in_there(world, provider)
    assert_html(answer, 401)
    assert await sessions(world) == []
    assert await refusals(world) == [f"example: {reason}"]


async def test_a_signature_by_somebody_else_is_none(world: World, provider: OpenIDServer) -> None:
    provider.signs_with = provider.stranger
    assert_html(await sign_in_there(world, provider), 401)
    assert await refusals(world) == ["example: id_token_signature"]


async def test_a_public_key_is_no_shared_secret(world: World, provider: OpenIDServer) -> None:
    provider.header["alg"] = "HS256"
    assert_html(await sign_in_there(world, provider), 401)
    assert await refusals(world) == ["example: id_token_malformed"]


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
async def test_rsa_and_both_ways_to_send_the_secret(
    world: World, provider: OpenIDServer, method: str
) -> None:
    provider.signs_with, provider.header = provider.rsa, {"alg": "RS256", "kid": "two"}
    provider.metadata["token_endpoint_auth_methods_supported"] = [method]
    assert (await sign_in_there(world, provider)).status_code == 303


async def test_who_promises_to_say_who_they_are_has_to(world: World, provider: OpenIDServer) -> None:
    """RFC 9207 §2.4."""
    provider.metadata["authorization_response_iss_parameter_supported"] = True
    assert (await sign_in_there(world, provider)).status_code == 303
    provider.answer["iss"] = None
    assert_html(await sign_in_there(world, provider), 401)
    assert await refusals(world) == ["example: wrong_issuer"]


async def test_an_address_that_only_userinfo_tells_is_asked_for(world: World, provider: OpenIDServer) -> None:
    provider.userinfo = {"email": "alice@example.com", "email_verified": True}
    assert (await sign_in_there(world, provider, sub="ext-1")).status_code == 303
    assert await identities(world) == [("alice", "ext-1")]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            {"sub": "another", "email": "alice@example.com", "email_verified": True}, id="somebody else"
        ),
        pytest.param(["alice@example.com"], id="no object"),
    ],
)
async def test_userinfo_about_somebody_else_is_not_used(
    world: World, provider: OpenIDServer, answer: object
) -> None:
    provider.raw["/userinfo"] = JSONResponse(answer)
    assert_html(await sign_in_there(world, provider, sub="ext-1"), 401)
    assert await refusals(world) == ["example: person_unreadable"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("/token", PlainTextResponse("x" * 300_000), id="too large"),
        pytest.param("/token", PlainTextResponse("no JSON"), id="no JSON"),
        pytest.param("/token", JSONResponse(["x"]), id="no object"),
        pytest.param("/token", JSONResponse({"access_token": 7}), id="no token"),
        pytest.param("/token", JSONResponse({"access_token": "x", "token_type": "bearer"}), id="no ID token"),
        pytest.param("/token", RedirectResponse("http://127.0.0.1:1/token", 307), id="a redirect"),
        pytest.param("/token", PlainTextResponse("{}", headers={"content-encoding": "gzip"}), id="encoded"),
        pytest.param("/token", PlainTextResponse("broken", 500), id="a failure"),
    ],
)
async def test_an_answer_that_is_none_signs_nobody_in(
    world: World, provider: OpenIDServer, path: str, answer: Response
) -> None:
    provider.raw[path] = answer
    assert_html(await sign_in_there(world, provider), 401)
    assert await sessions(world) == []


async def test_a_provider_that_is_away_is_a_page_and_the_password_goes_on(
    world: World, provider: OpenIDServer
) -> None:
    provider.raw["/.well-known/openid-configuration"] = PlainTextResponse("broken", 500)
    browser = world.browser()
    shown = await browser.get("/login")
    assert "Sign in with Example" in shown.text
    answer = await browser.post(BEGIN, data={})
    assert_html(answer, 503)
    assert "Example can’t be reached" in answer.text
    assert (await world.sign_in(browser, "alice")).status_code == 303


async def test_what_was_read_serves_while_the_provider_is_away(world: World, provider: OpenIDServer) -> None:
    await sent_to(world.browser())
    provider.raw["/.well-known/openid-configuration"] = PlainTextResponse("broken", 500)
    world.clock.advance(hours=20)
    await sent_to(world.browser())
    world.clock.advance(hours=5)
    assert_html(await world.browser().post(BEGIN, data={}), 503)


async def test_a_provider_that_is_away_is_asked_by_one_and_not_again_for_a_while(
    world: World, provider: OpenIDServer
) -> None:
    discovery = "/.well-known/openid-configuration"
    provider.raw[discovery] = PlainTextResponse("broken", 500)
    browsers = [world.browser() for _ in range(10)]
    answers = await asyncio.gather(*(browser.post(BEGIN, data={}) for browser in browsers))
    assert {answer.status_code for answer in answers} == {503}
    assert provider.seen.count(discovery) == 1
    world.clock.advance(seconds=10)
    del provider.raw[discovery]
    await sent_to(world.browser())
    assert provider.seen.count(discovery) == 2


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"issuer": "https://evil.example"}, id="of another issuer"),
        pytest.param({"issuer": None}, id="of no issuer"),
        pytest.param({"token_endpoint": None}, id="without an endpoint"),
        pytest.param({"token_endpoint": "http://example.com/token"}, id="an endpoint in the clear"),
        pytest.param({"authorization_endpoint": "javascript:alert(1)"}, id="an endpoint that is none"),
        pytest.param({"jwks_uri": 7}, id="keys at no address"),
        pytest.param({"userinfo_endpoint": "http://example.com/"}, id="userinfo in the clear"),
    ],
)
async def test_metadata_that_can_not_be_trusted_is_not_used(
    world: World, provider: OpenIDServer, metadata: dict[str, Any]
) -> None:
    provider.metadata.update(metadata)
    assert_html(await world.browser().post(BEGIN, data={}), 503)
