"""Accounts elsewhere on the page about how one signs in, people who sign up with one, and a GitHub."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.responses import JSONResponse

from app.settings import InvalidSettings, load_settings
from tests.front_channel import assert_html, change
from tests.support.openid_provider import OpenIDServer
from tests.support.world import PASSWORD, World
from tests.test_upstream import identities, sessions
from tests.upstream import (
    VERIFIED,
    come_back,
    provider,
    refusals,
    sent_to,
    sign_in_there,
    world_with,
)
from tests.working_pages import form_to, press

__all__ = ["provider"]
SECURITY = "/account/security"
LINK = f"{SECURITY}/upstream/example"
HUB = "/login/upstream/hub"
OPEN = {"sign_up": True, "email_domains": ["Example.com"]}


@pytest.fixture
async def world(database_url: str, provider: OpenIDServer) -> AsyncIterator[World]:
    """A provider, and a GitHub where people of one domain may sign up."""
    entries = provider.setting(**OPEN), provider.github_setting(**OPEN)
    async for made in world_with(database_url, provider, *entries):
        yield made


async def link(browser: httpx2.AsyncClient, provider: OpenIDServer, **person: Any) -> httpx2.Response:
    """Connect an account elsewhere."""
    address = await sent_to(browser, SECURITY, LINK)
    return await come_back(browser, provider.approve(address, **person))


async def test_somebody_who_is_signed_in_connects_an_account_and_disconnects_it(
    world: World, provider: OpenIDServer
) -> None:
    bob = await world.signed_in_browser("bob")
    answer = await link(bob, provider, sub="ext-7")
    assert answer.headers["location"] == f"{SECURITY}?done=linked"
    assert "The account is connected" in (await bob.get(f"{SECURITY}?done=linked")).text
    assert await identities(world) == [("bob", "ext-7")]
    assert (await sign_in_there(world, provider, sub="ext-7")).status_code == 303
    again = await link(bob, provider, sub="ext-7")
    assert again.headers["location"] == f"{SECURITY}?done=linked"

    gone = await press(bob, SECURITY, f"{SECURITY}/unlink")

    assert gone.headers["location"] == f"{SECURITY}?done=unlinked"
    assert await identities(world) == []
    assert_html(await sign_in_there(world, provider, sub="ext-7"), 401)
    events = await world.rows("SELECT event FROM audit_events WHERE event LIKE 'user.%linked' ORDER BY id")
    assert [row["event"] for row in events] == ["user.linked", "user.unlinked"]


async def test_an_identity_of_somebody_else_is_not_taken(world: World, provider: OpenIDServer) -> None:
    await sign_in_there(world, provider)
    bob = await world.signed_in_browser("bob")
    answer = await link(bob, provider, **VERIFIED)
    assert answer.headers["location"] == f"{SECURITY}?done=identity-taken"
    assert "connected to somebody else" in (await bob.get(answer.headers["location"])).text
    assert await identities(world) == [("alice", "ext-1")]


@pytest.mark.parametrize("meanwhile", ["signed out", "somebody else", "disabled"])
async def test_it_is_linked_to_who_began_it_alone(
    world: World, provider: OpenIDServer, meanwhile: str
) -> None:
    bob = await world.signed_in_browser("bob")
    back = provider.approve(await sent_to(bob, SECURITY, LINK), sub="ext-7")
    if meanwhile == "signed out":
        await change(world, "DELETE FROM sessions")
    elif meanwhile == "disabled":
        await change(world, "UPDATE users SET disabled_at = created_at WHERE username = 'bob'")
    else:
        typed = {"username": "alice", "password": PASSWORD}
        await press(bob, "/login?switch=true", "/login", typed)
    answer = await come_back(bob, back)
    assert answer.headers["location"] == f"{SECURITY}?done=not-linked"
    assert await identities(world) == []


async def test_a_provider_that_says_nothing_usable_links_nothing(
    world: World, provider: OpenIDServer
) -> None:
    provider.claims["nonce"] = "x"
    bob = await world.signed_in_browser("bob")
    answer = await link(bob, provider, sub="ext-7")
    assert answer.headers["location"] == f"{SECURITY}?done=not-linked"
    assert await refusals(world) == ["example: id_token_nonce"]


async def test_linking_asks_for_a_recent_sign_in_and_our_own_form(
    world: World, provider: OpenIDServer
) -> None:
    bob = await world.signed_in_browser("bob")
    assert_html(await bob.post(LINK, data={"csrf_token": "x"}), 403)
    form = form_to((await bob.get(SECURITY)).text, LINK)
    world.clock.advance(minutes=11)
    answer = await bob.post(LINK, data=form.fields)
    assert answer.headers["location"].startswith("/login?next=")
    assert await world.rows("SELECT state_hash FROM upstream_sign_ins") == []


async def test_somebody_new_of_a_welcome_domain_gets_an_account(world: World, provider: OpenIDServer) -> None:
    person: dict[str, Any] = {
        "sub": "n",
        "email": "Nora@EXAMPLE.com",
        "email_verified": True,
        "name": "Nora <b>",
        "preferred_username": "Nora",
    }
    assert (await sign_in_there(world, provider, **person)).status_code == 303
    [row] = await world.rows("SELECT * FROM users WHERE username = 'nora'")
    assert (row["name"], row["email"], row["password_hash"]) == ("Nora <b>", "Nora@EXAMPLE.com", None)
    assert row["email_verified_at"] is not None
    assert not row["is_admin"]
    assert await sessions(world) == [("nora", "fed")]


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        pytest.param(
            {"email": "nora@other.com", "email_verified": True}, "domain_not_welcome", id="another domain"
        ),
        pytest.param(
            {"email": "x@evil.com@other.com", "email_verified": True}, "domain_not_welcome", id="two signs"
        ),
        pytest.param(
            {"email": "nora@example.com.evil", "email_verified": True}, "domain_not_welcome", id="longer"
        ),
        pytest.param({"email": "nora@example.com"}, "not_known_here", id="not verified"),
        pytest.param({"email": "bob@example.com", "email_verified": True}, "address_taken", id="taken"),
    ],
)
async def test_nobody_else_does(
    world: World, provider: OpenIDServer, person: dict[str, Any], reason: str
) -> None:
    assert_html(await sign_in_there(world, provider, sub="n", **person), 401)
    assert await refusals(world) == [f"example: {reason}"]
    assert len(await world.rows("SELECT id FROM users")) == 2


async def test_the_only_way_in_stays(world: World, provider: OpenIDServer) -> None:
    browser = world.browser()
    await sign_in_there(world, provider, browser, sub="n", email="nora@example.com", email_verified=True)
    refused = await press(browser, SECURITY, f"{SECURITY}/unlink")
    assert_html(refused, 400)
    assert "your only way in" in refused.text
    assert await identities(world) == [("nora@example.com", "n")]
    await link(browser, provider, sub="second")
    assert (await press(browser, SECURITY, f"{SECURITY}/unlink")).status_code == 303


async def test_what_is_not_theirs_is_not_disconnected(world: World, provider: OpenIDServer) -> None:
    await sign_in_there(world, provider)
    bob = await world.signed_in_browser("bob")
    await link(bob, provider, sub="ext-7")
    form = form_to((await bob.get(SECURITY)).text, f"{SECURITY}/unlink")
    await bob.post(form.action, data={**form.fields, "subject": "ext-1"})
    assert await identities(world) == [("alice", "ext-1"), ("bob", "ext-7")]


ADDRESSES = [
    {"email": "old@example.com", "primary": False, "verified": True},
    {"email": "alice@example.com", "primary": True, "verified": True},
]


async def hub(world: World, provider: OpenIDServer, **person: Any) -> httpx2.Response:
    """Sign in with the GitHub."""
    provider.answer.setdefault("iss", None)
    browser = world.browser()
    address = await sent_to(browser, begin=HUB)
    assert parse_qs(urlsplit(address).query)["scope"] == ["read:user user:email"]
    return await come_back(browser, provider.approve(address, sub="42", **person))


async def test_github_tells_who_somebody_is_by_number(world: World, provider: OpenIDServer) -> None:
    provider.userinfo = {"login": "alice-there", "name": "Alice", "addresses": ADDRESSES}
    assert (await hub(world, provider)).status_code == 303
    assert await identities(world) == [("alice", "42")]
    provider.userinfo = {"login": "renamed", "addresses": []}
    assert (await hub(world, provider)).status_code == 303
    assert [name for name, _ in await sessions(world)] == ["alice", "alice"]


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param([{"email": "alice@example.com", "primary": True, "verified": False}], id="not verified"),
        pytest.param(
            [{"email": "alice@example.com", "primary": False, "verified": True}], id="not the first"
        ),
        pytest.param({"message": "no"}, id="no list"),
        pytest.param(["alice@example.com"], id="no objects"),
        pytest.param([{"email": 7, "primary": True, "verified": True}], id="no text"),
    ],
)
async def test_github_has_to_have_verified_the_address(
    world: World, provider: OpenIDServer, addresses: Any
) -> None:
    provider.userinfo = {"addresses": addresses}
    assert_html(await hub(world, provider), 401)
    assert await refusals(world) == ["hub: not_known_here"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("/api/user", JSONResponse({"id": "42"}), id="an id that is a text"),
        pytest.param("/api/user", JSONResponse({"id": True}), id="an id that is none"),
        pytest.param("/api/user", JSONResponse([]), id="no object"),
        pytest.param("/api/user", JSONResponse({"message": "no"}, 401), id="refused"),
        pytest.param("/api/user/emails", JSONResponse({"message": "no"}, 403), id="addresses refused"),
        pytest.param(
            "/token", JSONResponse({"error": "bad_verification_code"}), id="an error with status 200"
        ),
    ],
)
async def test_a_github_that_says_nothing_usable_signs_nobody_in(
    world: World, provider: OpenIDServer, path: str, answer: JSONResponse
) -> None:
    provider.userinfo = {"addresses": ADDRESSES}
    provider.raw[path] = answer
    assert_html(await hub(world, provider), 401)
    assert await sessions(world) == []


async def test_an_answer_of_one_provider_is_none_of_another(world: World, provider: OpenIDServer) -> None:
    """The mix-up attack (RFC 9700 §4.4): each provider has an address of its own."""
    browser = world.browser()
    back = provider.approve(await sent_to(browser), **VERIFIED)
    assert_html(await come_back(browser, back.replace("/example/", "/hub/")), 400)
    provider.userinfo = {"addresses": ADDRESSES}
    provider.answer["iss"] = "https://evil.example"
    assert_html(await hub(world, provider), 401)
    assert await refusals(world) == ["hub: state_unknown", "hub: wrong_issuer"]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ('{"id": "a", "name": "A", "client_id": "x", "client_secret": "y"}', "needs an issuer"),
        (
            '{"id": "a", "name": "A", "client_id": "x", "client_secret": "y", "issuer": "http://a.example"}',
            "https",
        ),
        (
            '{"id": "A/B", "name": "A", "client_id": "x", "client_secret": "y", "issuer": "https://a.example"}',
            "pattern",
        ),
        (
            '{"id": "a", "name": "A", "kind": "github", "client_id": "x", "client_secret": "y",'
            ' "issuer": "https://a.example"}',
            "no issuer",
        ),
        (
            '{"id": "a", "name": "A", "kind": "github", "client_id": "x", "client_secret": "y",'
            ' "api": "https://a.example"}',
            "all three",
        ),
    ],
)
def test_a_setting_that_can_not_work_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, entry: str, word: str
) -> None:
    monkeypatch.setenv("SIGN_IN_PROVIDERS", f"[{entry}]")
    with pytest.raises(InvalidSettings, match=word):
        load_settings()


def test_a_provider_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = '{"id": "a", "name": "A", "client_id": "x", "client_secret": "y", "issuer": "https://a.example/"}'
    monkeypatch.setenv("SIGN_IN_PROVIDERS", f"[{entry}, {entry}]")
    with pytest.raises(InvalidSettings, match="names a provider twice"):
        load_settings()
    monkeypatch.setenv("SIGN_IN_PROVIDERS", f"[{entry}]")
    assert load_settings().sign_in_providers[0].issuer == "https://a.example/"
