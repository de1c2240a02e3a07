"""A server of one's own while its authorization server misbehaves, changes its keys, or is set up wrongly."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from joserfc.jwk import RSAKey

from app.oauth import jwt
from app.oauth.uris import InvalidURI
from app.resource_server.issuer import Credentials, Issuer
from app.resource_server.protect import protect
from app.resource_server.revocations import RevocationsUnknown
from tests.back_channel import basic
from tests.elsewhere import (
    INTROSPECT,
    KEYS,
    METADATA,
    RESOURCE,
    Elsewhere,
    Wire,
    assert_refused,
    assert_unavailable,
    introspecting_client,
    lifespan_of,
    notes_server,
    protected_by,
)
from tests.support.dpop import Prover
from tests.support.world import FakeClock, World, mcp_headers
from tests.test_access_tokens import segments

pytest_plugins = ["tests.elsewhere_fixtures"]

DOCUMENT = "/.well-known/oauth-protected-resource/mcp"
ISSUER = "http://localhost:8000"
ours = Prover()


# ------------------------------------------------------------------------------------------ a server that misbehaves
def _json(body: Any, status: int = 200) -> Callable[[], httpx2.Response]:
    return lambda: httpx2.Response(status, json=body)


GOOD = {"issuer": ISSUER, "jwks_uri": ISSUER + KEYS, "introspection_endpoint": ISSUER + INTROSPECT}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param(METADATA, _json({**GOOD, "issuer": "https://evil.example"}), id="RFC 8414 3.3 issuer"),
        pytest.param(METADATA, _json({**GOOD, "issuer": ISSUER + "/"}), id="RFC 8414 3.3 slash"),
        pytest.param(METADATA, _json({**GOOD, "jwks_uri": None}), id="no jwks_uri"),
        pytest.param(METADATA, _json({**GOOD, "jwks_uri": "file:///etc/passwd"}), id="jwks_uri elsewhere"),
        pytest.param(METADATA, _json({**GOOD, "introspection_endpoint": 7}), id="no introspection"),
        pytest.param(METADATA, _json({**GOOD, "jwks_uri": "http://[x"}), id="no URL"),
        pytest.param(METADATA, _json([GOOD]), id="metadata list"),
        pytest.param(METADATA, lambda: httpx2.Response(200, text="<html>"), id="metadata page"),
        pytest.param(METADATA, lambda: httpx2.Response(200, text="[" * 90_000), id="metadata deep"),
        pytest.param(METADATA, _json({}, 500), id="metadata 500"),
        pytest.param(
            METADATA,
            lambda: httpx2.Response(302, headers={"location": "https://evil.example/"}),
            id="redirect",
        ),
        pytest.param(KEYS, _json({}), id="no keys"),
        pytest.param(KEYS, _json({"keys": {}}), id="keys are no list"),
        pytest.param(KEYS, _json({"keys": [7, None, {"kty": "EC"}]}), id="keys are none"),
        pytest.param(KEYS, _json({"keys": []}, 404), id="keys 404"),
        pytest.param(INTROSPECT, _json({"active": "true"}), id="INT active is a text"),
        pytest.param(INTROSPECT, _json({}), id="INT says nothing"),
        pytest.param(INTROSPECT, _json({"error": "invalid_client"}, 401), id="INT-1 wrong credentials"),
        pytest.param(INTROSPECT, _json({"active": True}, 203), id="INT other status"),
        pytest.param(
            INTROSPECT,
            lambda: httpx2.Response(307, headers={"location": "https://evil.example/"}),
            id="INT 307",
        ),
    ],
)
async def test_a_server_that_does_not_answer_as_one_lets_nobody_in(
    one: Elsewhere, path: str, answer: Callable[[], httpx2.Response], caplog: pytest.LogCaptureFixture
) -> None:
    one.wire.answers[path] = answer
    token = await one.token()
    for _ in range(2):
        assert_unavailable(await one.call(token))
    assert len([record for record in caplog.records if record.name == "app.resource_server.issuer"]) == 1
    del one.wire.answers[path]
    one.world.clock.advance(seconds=5)
    await one.told(token)


async def test_tokens_are_sent_over_https_alone_off_this_computer() -> None:
    metadata = {
        "issuer": "https://auth.example/tenant",
        "introspection_endpoint": "http://auth.example/i",
        "jwks_uri": "https://auth.example/k",
    }

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == METADATA + "/tenant"  # RFC 8414 §3.1
        return httpx2.Response(200, json=metadata)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    issuer = Issuer("https://auth.example/tenant", Credentials("a", "b"), http, FakeClock())
    with pytest.raises(RevocationsUnknown):
        await issuer.find_key("any")


# ------------------------------------------------------------------------------------------ keys
async def test_keys_are_read_again_after_five_minutes_and_nobody_waits_for_it(one: Elsewhere) -> None:
    await one.told(await one.token())
    one.world.clock.advance(minutes=5)
    await one.told(await one.token())
    await one.told(await one.token())
    assert one.wire.asked[KEYS] == 2


async def test_a_new_key_is_found_at_once_and_strangers_cannot_make_it_hammer(one: Elsewhere) -> None:
    await one.told(await one.token())
    forger = jwt.generate_signing_key()
    claims = segments(await one.token())[1]
    one.world.clock.advance(seconds=5)
    for _ in range(20):
        unknown = jwt.sign(claims, jwt.SigningKey(jwt.generate_signing_key().kid, forger.key), "at+jwt")
        assert_refused(await one.call(unknown), "not known")
    assert one.wire.asked[KEYS] == 2
    published = (await one.world.http.get(KEYS)).json()["keys"]
    new = jwt.generate_signing_key()
    one.wire.answers[KEYS] = _json(
        {"keys": [*published, new.public_jwk, {"kty": "oct", "k": "eA", "kid": "x"}]}
    )
    one.wire.answers[INTROSPECT] = _json({"active": True})
    one.world.clock.advance(seconds=5)
    assert (await one.told(jwt.sign(claims, new, "at+jwt")))["username"] == "alice"
    assert one.wire.asked[KEYS] == 3


async def test_keys_serve_for_a_day_while_they_cannot_be_read(one: Elsewhere) -> None:
    await one.told(await one.token())
    one.wire.answers[KEYS] = _json({}, 503)
    one.world.clock.advance(hours=23)
    await one.told(await one.token())
    unknown = jwt.sign(segments(await one.token())[1], jwt.generate_signing_key(), "at+jwt")
    one.world.clock.advance(seconds=5)
    assert_unavailable(await one.call(unknown))  # it may be a new key
    one.world.clock.advance(hours=1)
    assert_unavailable(await one.call(await one.token()))
    del one.wire.answers[KEYS]
    one.world.clock.advance(seconds=5)
    await one.told(await one.token())


def test_keys_of_other_kinds_are_passed_over() -> None:
    ours, rsa = jwt.generate_signing_key(), RSAKey.generate_key(2048)
    listed = [
        rsa.as_dict(private=False),
        {**ours.key.as_dict(private=True), "kid": "private"},
        {name: value for name, value in ours.public_jwk.items() if name != "kid"},
        {**ours.public_jwk, "kid": 7},
        "text",
        ours.public_jwk,
    ]
    assert set(jwt.read_verification_keys({"keys": listed})) == {ours.kid}


async def test_what_is_remembered_does_not_grow_for_ever(
    one: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.resource_server.issuer._MOST_REMEMBERED", 2)
    tokens = [await one.token() for _ in range(3)]
    for token in (*tokens, tokens[2], tokens[0]):
        await one.told(token)
    assert one.wire.asked[INTROSPECT] == 4


async def test_nobody_is_asked_about_a_token_before_the_server_is_known(world: World) -> None:
    http = httpx2.AsyncClient(transport=Wire(world.app))
    issuer = Issuer(ISSUER, Credentials("a", "b"), http, world.clock)
    with pytest.raises(RevocationsUnknown):
        await issuer.is_active("token")


async def test_what_is_being_asked_when_it_stops_is_given_up(one: Elsewhere) -> None:
    token = await one.token()
    guard = await introspecting_client(one.world, RESOURCE)
    for path in (METADATA, INTROSPECT):
        protected = protected_by(one.world, guard, wire := Wire(one.world.app), notes_server())
        async with lifespan_of(protected):
            http = httpx2.AsyncClient(transport=httpx2.ASGITransport(protected), base_url=RESOURCE)
            if path == INTROSPECT:
                assert (await http.post("", headers=mcp_headers(await one.token(), "x"))).status_code < 500
            wire.arrived.clear()
            wire.gate = asyncio.Event()
            call = asyncio.create_task(http.post("", headers=mcp_headers(token, "whoami")))
            await wire.arrived[path].wait()
        with pytest.raises(asyncio.CancelledError):
            await call


# ------------------------------------------------------------------------------------------ how it is set up
@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        pytest.param({"issuer": "auth.example"}, InvalidURI, id="issuer is no URL"),
        pytest.param({"issuer": "http://auth.example"}, ValueError, id="issuer in the clear"),
        pytest.param({"issuer": "https://auth.example/"}, ValueError, id="issuer with a slash"),
        pytest.param({"resource": "http://notes.example/mcp"}, ValueError, id="resource in the clear"),
        pytest.param({"resource": "https://Notes.example/mcp"}, ValueError, id="resource in capitals"),
        pytest.param({"resource": "https://notes.example/mcp?x"}, InvalidURI, id="resource with a query"),
    ],
)
def test_addresses_are_written_in_one_way(changes: dict[str, Any], refusal: type[Exception]) -> None:
    addresses: dict[str, Any] = {"issuer": "https://auth.example", "resource": RESOURCE, **changes}
    with pytest.raises(refusal):
        protect(notes_server(), client_id="a", client_secret="b", **addresses)


async def test_it_brings_a_client_of_its_own_and_closes_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.resource_server.protect")
    app = protect(
        notes_server(), issuer="http://127.0.0.1:9", resource=RESOURCE, client_id="a", client_secret="b"
    )
    async with lifespan_of(app), httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as http:
        assert (await http.post(RESOURCE)).status_code == 401
        claims = {"iss": "http://127.0.0.1:9", "aud": RESOURCE}
        token = jwt.sign(claims, jwt.generate_signing_key(), "at+jwt")
        assert_unavailable(await http.post(RESOURCE, headers={"authorization": f"Bearer {token}"}))
    assert "Refused with 401, unauthenticated" in caplog.messages


def test_the_secret_does_not_stand_in_a_log() -> None:
    assert "ost_secret" not in repr(Credentials("a", "ost_secret_b"))


def test_credentials_are_encoded_before_they_are_joined() -> None:
    """RFC 6749 §2.3.1."""
    assert Credentials("a:b", "c d%").header == "Basic YSUzQWI6YyUyMGQlMjU="


def test_it_stands_without_the_authorization_server_and_without_a_database() -> None:
    """In a fresh process, everything of the package: nothing else of ours is loaded, and no framework."""
    code = """
import importlib, pkgutil, sys
import app.resource_server
for module in pkgutil.walk_packages(app.resource_server.__path__, "app.resource_server."):
    importlib.import_module(module.name)
allowed = ("app.oauth", "app.clock", "app.resource_server")
print(sorted(
    name for name in sys.modules
    if name.startswith("app.") and not name.startswith(allowed)
    or name.partition(".")[0] in {"sqlalchemy", "fastapi", "alembic", "aiosqlite", "asyncpg", "jinja2", "passlib"}
))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


async def test_rev_7_tokens_for_a_resource_elsewhere_are_revoked_like_others(scene: Elsewhere) -> None:
    """And what is no token of the kind, an ID token or a signed introspection answer, is none to revoke (REV-1)."""
    world = scene.world
    issued = await world.tokens(scene.app, resource=RESOURCE, scope="openid mcp offline_access")
    headers = {**basic(scene.guard), "accept": "application/token-introspection+jwt"}
    token = issued["access_token"]
    signed = await world.http.post(INTROSPECT, data={"token": token}, headers=headers)
    for other in (issued["id_token"], signed.text):
        answer = await world.revoke(scene.app, other)
        assert (answer.status_code, answer.content) == (200, b"")
    await scene.told(token)
    assert (await world.revoke(scene.app, token)).status_code == 200
    world.clock.advance(seconds=5)
    assert_refused(await scene.call(token), "revoked")
    assert (await world.refresh(scene.app, issued["refresh_token"])).status_code == 200
