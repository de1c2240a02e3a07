"""An MCP server of one's own, in a process of its own, behind tokens of this server (`app.resource_server.protect`)."""

import asyncio
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.oauth import jwt
from app.oauth.scopes import Scope
from tests.back_channel import basic, disable_client, disable_user, revoke_grants
from tests.dpop_flow import bound_tokens, challenges_of
from tests.elsewhere import (
    INTROSPECT,
    KEYS,
    METADATA,
    RESOURCE,
    Elsewhere,
    Home,
    assert_refused,
    assert_unavailable,
    lifespan_of,
    notes_server,
    protected_by,
)
from tests.support.dpop import Prover
from tests.support.world import mcp_call, mcp_headers
from tests.test_access_tokens import segments, signing_key

pytest_plugins = ["tests.elsewhere_fixtures"]

DOCUMENT = "/.well-known/oauth-protected-resource/mcp"
ISSUER = "http://localhost:8000"
ours = Prover()


# ------------------------------------------------------------------------------------------ the way in
async def test_a_tool_elsewhere_knows_who_calls(scene: Elsewhere) -> None:
    told = await scene.told(await scene.token())
    assert told["username"] == "alice"
    assert told["scopes"] == ["email", "mcp", "offline_access", "profile"]
    [person] = await scene.world.rows("SELECT id FROM users")
    assert told["id"] == person["id"]


async def test_rsv_1_without_a_token_the_challenge_leads_to_the_metadata(one: Elsewhere) -> None:
    answer = await one.call(None)
    assert answer.status_code == 401
    assert challenges_of(answer)["Bearer"] == {
        "resource_metadata": f"https://notes.example{DOCUMENT}",
        "scope": "mcp profile email",
    }
    assert not one.wire.asked


@pytest.mark.parametrize("path", [DOCUMENT, "/.well-known/oauth-protected-resource"])
async def test_dsc_4_the_metadata_names_the_resource_and_its_authorization_server(
    one: Elsewhere, path: str
) -> None:
    answer = await one.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.json() == {
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["mcp", "profile", "email"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Notes",
        "dpop_signing_alg_values_supported": ["ES256", "Ed25519", "EdDSA", "RS256"],
    }
    head = await one.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    post = await one.http.post(path)
    assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")


async def test_hdr_3_web_pages_of_other_origins_may_ask(one: Elsewhere) -> None:
    page = {"origin": "https://inspector.example"}
    preflight = {**page, "access-control-request-method": "POST", "access-control-request-headers": "dpop"}
    for path in ("/mcp", DOCUMENT):
        answer = await one.http.options(path, headers=preflight)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    refused = await one.http.post("/mcp", headers=page)
    assert refused.status_code == 401
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in refused.headers


async def test_rsv_12_a_slash_at_the_end_is_no_other_address(one: Elsewhere) -> None:
    answer = await one.call(await one.token(), path="/mcp/")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/mcp-other", "/mcp/x", "/.well-known/oauth-protected-resource/x", "/MCP"]
)
async def test_there_is_nothing_beside_it(one: Elsewhere, path: str) -> None:
    answer = await one.http.get(path, headers={"authorization": f"Bearer {await one.token()}"})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


async def test_websockets_are_closed(one: Elsewhere) -> None:
    sent = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await one.protected({"type": "websocket", "path": "/mcp", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_any_asgi_application_can_stand_behind_it(home: Home) -> None:
    async def whoami(request: Request) -> PlainTextResponse:
        assert "authorization" not in request.headers
        return PlainTextResponse(request.user.principal.user.username)

    async def health(_: Request) -> PlainTextResponse:
        return PlainTextResponse("alive")

    pages = [Route("/mcp", whoami, methods=["POST"]), Route("/healthz", health), Route("/secret", health)]
    app = Starlette(routes=pages)
    async with home.elsewhere(app, open_paths=["/healthz"], scopes=["mcp"]) as scene:
        assert (await scene.call(await scene.token())).text == "alice"
        assert (await scene.call(None)).status_code == 401
        assert (await scene.http.get("/healthz")).text == "alive"
        assert (await scene.http.get("/secret")).status_code == 404
        assert (await scene.http.get(DOCUMENT)).json()["resource_name"] == RESOURCE


async def test_a_resource_can_be_the_whole_host(home: Home) -> None:
    async with home.elsewhere(resource="https://notes.example", name="All of it") as scene:
        answer = await scene.call(None, path="/")
        where = "https://notes.example/.well-known/oauth-protected-resource"
        assert challenges_of(answer)["Bearer"]["resource_metadata"] == where
        told = (await scene.http.get("/.well-known/oauth-protected-resource")).json()
        assert (told["resource"], told["resource_name"]) == ("https://notes.example", "All of it")
        refused = await scene.call(await scene.token(), path="/")
        assert challenges_of(refused)["Bearer"]["error"] == "invalid_token"


# ------------------------------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("kind", "description"),
    [
        pytest.param("for the server itself", "for another resource", id="RSV-6 other audience"),
        pytest.param("refresh token", "not known", id="RSV-3 refresh token"),
        pytest.param("ID token", "not known", id="RSV-3 ID token"),
        pytest.param("introspection", "not known", id="RFC 9701 8.1 a signed introspection answer"),
        pytest.param("other key", "not known", id="RSV-3 another key under our name"),
        pytest.param("unknown key", "not known", id="RSV-3 a key that nobody published"),
        pytest.param("other issuer", "another issuer", id="RSV-3 other issuer"),
        pytest.param("expired", "expired", id="RSV-3 expired"),
        pytest.param("no id", "lacks a claim", id="RFC 9068 a claim is missing"),
        pytest.param("none", "not known", id="RFC 8725 alg none"),
        pytest.param("garbage", "not known", id="RSV-3 garbage"),
        pytest.param("long", "not known", id="RSV-3 long"),
    ],
)
async def test_what_is_no_token_for_this_resource_is_refused_without_telling_anyone(
    one: Elsewhere, kind: str, description: str
) -> None:
    world = one.world
    assert (await one.call(await one.token())).status_code == 200
    one.wire.asked.clear()
    issued = await world.tokens(one.app, resource=RESOURCE, scope="openid mcp offline_access")
    claims = segments(issued["access_token"])[1]
    key, forger = signing_key(world), jwt.generate_signing_key()
    headers = {**basic(one.guard), "accept": "application/token-introspection+jwt"}
    signed = await world.http.post(INTROSPECT, data={"token": issued["access_token"]}, headers=headers)
    tokens = {
        "for the server itself": (await world.tokens(one.app))["access_token"],
        "refresh token": issued["refresh_token"],
        "ID token": issued["id_token"],
        "introspection": signed.text,
        "other key": jwt.sign(claims, jwt.SigningKey(key.kid, forger.key), "at+jwt"),
        "unknown key": jwt.sign(claims, forger, "at+jwt"),
        "other issuer": jwt.sign({**claims, "iss": "https://evil.example"}, key, "at+jwt"),
        "expired": jwt.sign({**claims, "exp": claims["iat"]}, key, "at+jwt"),
        "no id": jwt.sign({**claims, "jti": ""}, key, "at+jwt"),
        "none": issued["access_token"].replace(
            issued["access_token"].split(".")[0], "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"
        ),
        "garbage": "a.b.c",
        "long": "x" * 9000,
    }
    assert_refused(await one.call(tokens[kind]), description)
    assert one.wire.asked[INTROSPECT] == 0


async def test_rsv_9_a_scope_that_a_tool_needs_is_asked_of_the_caller(scene: Elsewhere) -> None:
    token = await scene.token(scope="mcp")
    answer = await scene.call(token, "read_note")
    assert answer.status_code == 403
    challenge = challenges_of(answer)["Bearer"]
    assert (challenge["error"], challenge["scope"]) == ("insufficient_scope", "mcp notes:read")
    assert (await scene.told(await scene.token(scope="mcp notes:read"), "read_note")) == {"note": "a note"}


async def test_rsv_10_a_broader_scope_opens_it_too(one: Elsewhere) -> None:
    assert (await one.told(await one.token(scope="mcp notes:write"), "read_note")) == {"note": "a note"}


async def test_what_everything_needs_is_asked_first(home: Home) -> None:
    needed = {"mcp", "notes:read"}
    scopes = ["mcp", Scope("notes:read", "Read", on_demand=True)]
    async with home.elsewhere(required_scopes=needed, scopes=scopes) as scene:
        assert challenges_of(await scene.call(None))["Bearer"]["scope"] == "mcp notes:read"
        assert (await scene.call(await scene.token(scope="mcp"))).status_code == 403
        assert (await scene.call(await scene.token(scope="mcp notes:read"))).status_code == 200


async def test_opt_7_a_bound_token_opens_nothing_without_a_proof_and_a_proof_works_once(
    one: Elsewhere,
) -> None:
    world = one.world
    token = (await bound_tokens(world, one.app, ours, resource=RESOURCE))["access_token"]
    assert_refused(await one.call(token))
    headers = {
        **mcp_headers(None, "whoami"),
        "authorization": f"DPoP {token}",
        "dpop": ours.proof("POST", RESOURCE, world.clock.now(), token),
    }
    answers = [await one.http.post("/mcp", headers=headers, json=mcp_call("whoami", {})) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[1].json()["error"] == "invalid_dpop_proof"


async def test_rsv_15_handles_are_sealed_for_the_person_here_too(one: Elsewhere) -> None:
    alice = await one.token()
    bob = (await one.world.tokens(one.app, "bob", resource=RESOURCE))["access_token"]
    handle = (await one.told(alice, "seal"))["handle"]
    assert (await one.told(alice, "seal", handle=handle))["handle"] == "draft 7"
    assert (await one.call(bob, "seal", handle=handle)).json()["result"]["isError"] is True


async def test_rsv_13_on_loopback_only_this_computer_may_call(home: Home) -> None:
    async with home.elsewhere(resource="http://localhost:9000/mcp") as scene:
        answer = await scene.call(None)
        assert answer.status_code == 403
        answer = await scene.http.post("/mcp", headers={"host": "localhost:9000"})
        assert answer.status_code == 401


# ------------------------------------------------------------------------------------------ revocation
@pytest.mark.parametrize("end", ["token revoked", "grant revoked", "user disabled", "client disabled"])
async def test_what_was_revoked_is_refused_within_five_seconds(scene: Elsewhere, end: str) -> None:
    world, token = scene.world, await scene.token()
    await scene.told(token)
    if end == "token revoked":
        await world.revoke(scene.app, token)
    elif end == "grant revoked":
        await revoke_grants(world)
    elif end == "user disabled":
        await disable_user(world)
    else:
        await disable_client(world, scene.app)
    world.clock.advance(seconds=5)
    assert_refused(await scene.call(token), "revoked")


async def test_what_is_told_is_believed_for_five_seconds_and_asked_again_after_that(one: Elsewhere) -> None:
    token = await one.token()
    for _ in range(10):
        await one.told(token)
    one.world.clock.advance(seconds=4.9)
    await one.told(token)
    assert one.wire.asked[INTROSPECT] == 1
    one.world.clock.advance(seconds=0.1)
    await one.told(token)
    assert one.wire.asked[INTROSPECT] == 2
    assert (one.wire.asked[METADATA], one.wire.asked[KEYS]) == (1, 1)


async def test_fifty_calls_at_once_ask_once(one: Elsewhere) -> None:
    token = await one.token()
    answers = await asyncio.gather(*(one.call(token) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert one.wire.asked == {METADATA: 1, KEYS: 1, INTROSPECT: 1}


async def test_someone_who_hangs_up_does_not_take_the_answer_from_the_others(one: Elsewhere) -> None:
    token = await one.token()
    one.wire.gate = asyncio.Event()
    calls = [asyncio.create_task(one.call(token)) for _ in range(2)]
    await one.wire.arrived[METADATA].wait()
    calls[0].cancel()
    one.wire.gate.set()
    assert (await calls[1]).status_code == 200


async def test_while_the_server_is_away_nobody_can_tell_and_then_all_is_well_again(
    scene: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    token, other = await scene.token(), await scene.token()
    await scene.told(token)
    scene.wire.is_cut = True
    await scene.told(token)
    assert_unavailable(await scene.call(other))
    scene.world.clock.advance(seconds=5)
    assert_unavailable(await scene.call(token))
    assert_unavailable(await scene.call(other))
    scene.wire.is_cut = False
    await scene.told(token)
    await scene.told(other)
    told = [record.message for record in caplog.records if record.name == "app.resource_server.issuer"]
    assert told == [
        f"The authorization server {ISSUER} can't be asked: it could not be reached (ConnectError)",
        f"The authorization server {ISSUER} answers again",
    ]


async def test_a_server_that_was_never_there_leaves_nobody_in(one: Elsewhere) -> None:
    token = await one.token()
    one.wire.is_cut = True
    assert_unavailable(await one.call(token))
    one.wire.is_cut = False
    assert_unavailable(await one.call(token))  # it was asked just now
    one.world.clock.advance(seconds=5)
    await one.told(token)


async def test_a_client_that_may_not_introspect_is_pointed_out_once(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    async with home.elsewhere() as scene:
        stranger = await scene.world.register(token_endpoint_auth_method="client_secret_basic")
        protected = protected_by(scene.world, stranger, scene.wire, notes_server())
        async with (
            lifespan_of(protected),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(protected), base_url=RESOURCE) as http,
        ):
            for _ in range(3):
                headers = mcp_headers(await scene.token(), "whoami")
                assert_refused(await http.post("", headers=headers, json=mcp_call("whoami", {})))
    told = [record.message for record in caplog.records if record.name == "app.resource_server.issuer"]
    assert len(told) == 1
    assert stranger["client_id"] in told[0]
