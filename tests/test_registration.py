"""Dynamic client registration (RFC 7591): which metadata becomes a client, and which is refused without a trace."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.support.world import REDIRECT_URI, World

GOOD = "https://app.example/callback"
METADATA = "invalid_client_metadata"
REDIRECT = "invalid_redirect_uri"


async def records(world: World) -> float:
    """How many audit events and counted refusals there are."""
    metrics = (await world.http.get("/metrics")).text
    counted = [float(line.rpartition(" ")[2]) for line in metrics.splitlines() if "refusals_total{" in line]
    audited: int = (await world.rows("SELECT count(*) AS n FROM audit_events"))[0]["n"]
    return sum(counted) + audited


def assert_refusal(answer: httpx2.Response, status: set[int], errors: set[str] | None = None) -> None:
    """A JSON error as RFC 7591 §3.2.2 and RFC 6749 §5.2 shape it."""
    assert answer.status_code in status, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert "no-store" in answer.headers["cache-control"]
    body = answer.json()
    assert set(body) <= {"error", "error_description", "error_uri", "error_reference"}
    assert errors is None or body["error"] in errors, body
    # The characters that RFC 6749 §5.2 allows in a description.
    assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", body["error_description"])


async def assert_refused(
    world: World, errors: set[str], status: set[int] | None = None, **request: Any
) -> httpx2.Response:
    """The registration is refused, leaves no row, and leaves a record."""
    rows, recorded = await world.counts(), await records(world)
    answer = await world.http.post("/oauth/register", **request)
    assert_refusal(answer, status or {400}, errors)
    assert await world.counts() == rows
    assert await records(world) > recorded
    return answer


async def refused(world: World, error: str, **changes: Any) -> None:
    """A registration that is good but for these changes is refused with this error."""
    body = {"client_name": "Test App", "redirect_uris": [GOOD], "token_endpoint_auth_method": "none"}
    await assert_refused(world, {error}, json={**body, **changes})


# ------------------------------------------------------------------------------------------ the body
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="REG-1-empty"),
        pytest.param(b"{", id="REG-1-cut-off"),
        pytest.param(b"redirect_uris", id="REG-1-no-json"),
        pytest.param(b"null", id="REG-1-null"),
        pytest.param(b"[]", id="REG-1-list"),
        pytest.param(b'"x"', id="REG-1-string"),
        pytest.param(b"17", id="REG-1-number"),
        pytest.param(b"true", id="REG-1-boolean"),
        pytest.param(b"NaN", id="REG-1-nan"),
        pytest.param(b"{}", id="REG-1-empty-object"),
        pytest.param(b'{"redirect_uris": ["https://app.example/\xff"]}', id="REG-1-not-utf-8"),
        pytest.param(b'{"redirect_uris": ["https://app.example/\\u0000"]}', id="REG-1-nul-in-uri"),
        pytest.param(b'{"redirect_uris": ["https://app.example/\\ud800"]}', id="REG-1-surrogate-in-uri"),
    ],
)
async def test_a_body_that_is_no_client_metadata_is_refused(world: World, content: bytes) -> None:
    errors = {METADATA, REDIRECT} if content.startswith(b"{") else {METADATA}
    await assert_refused(world, errors, content=content, headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"data": {"redirect_uris": GOOD}}, id="REG-2-form"),
        pytest.param(
            {
                "content": json.dumps({"redirect_uris": [GOOD]}),
                "headers": {"content-type": "application/x-www-form-urlencoded"},
            },
            id="REG-2-json-called-a-form",
        ),
        pytest.param({"files": {"redirect_uris": ("x", GOOD)}}, id="REG-2-multipart"),
        pytest.param(
            {"content": json.dumps({"redirect_uris": [GOOD]}), "headers": {"content-type": "text/plain"}},
            id="REG-2-plain-text",
        ),
    ],
)
async def test_a_registration_that_is_not_sent_as_json_is_refused(
    world: World, request_: dict[str, Any]
) -> None:
    await assert_refused(world, {METADATA, "invalid_request"}, {400, 415}, **request_)


async def test_reg_2_json_with_a_charset_is_json(world: World) -> None:
    answer = await world.http.post(
        "/oauth/register",
        content=json.dumps({"redirect_uris": [GOOD]}),
        headers={"content-type": "application/json; charset=utf-8"},
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post_registers(world: World, method: str) -> None:
    answer = await world.http.request(method, "/oauth/register")
    assert_refusal(answer, {405})
    assert "POST" in answer.headers["allow"]


# ------------------------------------------------------------------------------------------ redirect URIs
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="REG-3-missing"),
        pytest.param({"redirect_uris": []}, id="REG-3-none"),
        pytest.param({"redirect_uris": None}, id="REG-3-null"),
        pytest.param({"redirect_uris": GOOD}, id="REG-3-string"),
        pytest.param({"redirect_uris": {"0": GOOD}}, id="REG-3-object"),
        pytest.param({"redirect_uris": [""]}, id="REG-3-empty-string"),
        pytest.param({"redirect_uris": [GOOD, None]}, id="REG-3-null-in-list"),
        pytest.param({"redirect_uris": [GOOD, 7]}, id="REG-3-number-in-list"),
        pytest.param({"redirect_uris": [[GOOD]]}, id="REG-3-list-in-list"),
    ],
)
async def test_the_code_grant_needs_redirect_uris(world: World, changes: dict[str, Any]) -> None:
    body = {"grant_types": ["authorization_code"], **changes}
    await assert_refused(world, {REDIRECT, METADATA}, json=body)


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("http://evil.example/cb", id="REG-4-http"),
        pytest.param("HTTP://evil.example/cb", id="REG-4-http-upper-case"),
        pytest.param("http://localhost.evil.example/cb", id="REG-4-localhost-as-subdomain"),
        pytest.param("http://127.0.0.1.evil.example/cb", id="REG-4-loopback-as-subdomain"),
        pytest.param("http://127.0.0.1@evil.example/cb", id="REG-4-loopback-as-user"),
        pytest.param("http://localhost:80@evil.example/cb", id="REG-4-localhost-as-user"),
        pytest.param("http://localhost\\@evil.example/cb", id="REG-4-backslash"),
        pytest.param("http://evil.example#@127.0.0.1/cb", id="REG-4-loopback-in-fragment"),
        pytest.param("http://10.0.0.1/cb", id="REG-4-private-address"),
        pytest.param("http://0.0.0.0/cb", id="REG-4-any-address"),
        pytest.param("http:/cb", id="REG-4-http-without-host"),
        pytest.param("https:///cb", id="REG-4-https-without-host"),
        pytest.param("https:cb", id="REG-4-https-opaque"),
        pytest.param("https://:443/cb", id="REG-4-port-only"),
        pytest.param("https://app.example:port/cb", id="REG-4-bad-port"),
        pytest.param("https://app.example:99999/cb", id="REG-4-port-too-high"),
        pytest.param("https://[::1/cb", id="REG-4-bad-literal"),
        pytest.param("https://user:password@app.example/cb", id="REG-4-credentials"),
        pytest.param("https://app.example/c b", id="REG-4-space"),
        pytest.param("https://app.example/cb\r\nSet-Cookie: a=b", id="REG-4-new-line"),
        pytest.param("https://app.example\\@evil.example/cb", id="REG-4-https-backslash"),
        pytest.param("https://app.example/\u202ecb", id="REG-4-not-ascii"),
        pytest.param("//app.example/cb", id="REG-4-no-scheme"),
        pytest.param("/cb", id="REG-4-path"),
        pytest.param("app.example/cb", id="REG-4-no-scheme-no-slashes"),
        pytest.param("urn:ietf:wg:oauth:2.0:oob", id="REG-4-out-of-band"),
        pytest.param("https://app.example/cb#x", id="REG-6-fragment"),
        pytest.param("https://app.example/cb#", id="REG-6-empty-fragment"),
        pytest.param("http://127.0.0.1/cb#x", id="REG-6-loopback-fragment"),
        pytest.param("com.example.app:/cb#x", id="REG-6-private-scheme-fragment"),
        pytest.param("com.example.app:/c b", id="REG-9-space"),
        pytest.param("com.example.app:/cb\r\nSet-Cookie:a=b", id="REG-9-new-line"),
        pytest.param("com.example.app:/cb\n", id="REG-9-new-line-at-the-end"),
        pytest.param('com.example.app:/"><script>', id="REG-9-markup"),
        pytest.param("foo:/cb", id="REG-9-no-dot"),
        pytest.param("foo://host/cb", id="REG-9-no-dot-with-host"),
        pytest.param("ftp://app.example/cb", id="REG-9-ftp"),
        pytest.param("ws://app.example/cb", id="REG-9-ws"),
        pytest.param("view-source:https://app.example/cb", id="REG-9-view-source"),
        pytest.param("intent://app.example/#Intent;end", id="REG-9-intent"),
    ],
)
async def test_one_bad_redirect_uri_refuses_the_whole_registration(world: World, uri: str) -> None:
    await refused(world, REDIRECT, redirect_uris=[GOOD, uri])
    await refused(world, REDIRECT, redirect_uris=[uri, GOOD])


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("javascript:alert(1)", id="REG-5-javascript"),
        pytest.param("JaVaScRiPt:alert(1)", id="REG-5-javascript-mixed-case"),
        pytest.param(" javascript:alert(1)", id="REG-5-javascript-after-space"),
        pytest.param("\x01javascript:alert(1)", id="REG-5-javascript-after-control"),
        pytest.param("\tjavascript:alert(1)", id="REG-5-javascript-after-tab"),
        pytest.param("\njavascript:alert(1)", id="REG-5-javascript-after-new-line"),
        pytest.param("\u00a0javascript:alert(1)", id="REG-5-javascript-after-no-break-space"),
        pytest.param("java\tscript:alert(1)", id="REG-5-javascript-with-tab-inside"),
        pytest.param("javascript://app.example/%0aalert(1)", id="REG-5-javascript-with-host"),
        pytest.param("data:text/html,<script>alert(1)</script>", id="REG-5-data"),
        pytest.param("DATA:text/html;base64,AAAA", id="REG-5-data-upper-case"),
        pytest.param("file:///etc/passwd", id="REG-5-file"),
        pytest.param("File://localhost/etc/passwd", id="REG-5-file-mixed-case"),
        pytest.param("vbscript:msgbox(1)", id="REG-5-vbscript"),
        pytest.param("blob:https://app.example/1", id="REG-5-blob"),
        pytest.param("about:blank", id="REG-5-about"),
        pytest.param(" https://app.example/cb", id="REG-5-https-after-space"),
        pytest.param("\x01https://app.example/cb", id="REG-5-https-after-control"),
        pytest.param("https://app.example/cb\n", id="REG-5-https-before-new-line"),
    ],
)
async def test_a_redirect_that_a_browser_would_run_is_refused(world: World, uri: str) -> None:
    await refused(world, REDIRECT, redirect_uris=[uri])


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("https://app.example/cb", id="REG-4-https"),
        pytest.param("https://app.example:8443/cb?tenant=a%20b", id="REG-6-query-is-kept"),
        pytest.param("http://127.0.0.1/cb", id="REG-4-loopback"),
        pytest.param("http://127.0.0.1:49152/cb", id="REG-4-loopback-port"),
        pytest.param("http://[::1]:49152/cb", id="REG-4-loopback-v6"),
        pytest.param("http://localhost:33418/", id="REG-4-localhost"),
        pytest.param("com.example.app:/cb", id="REG-9-reverse-domain"),
        pytest.param("cursor://anysphere.cursor-mcp/oauth/callback", id="REG-9-cursor"),
        pytest.param("vscode://vscode.github-authentication/did-authenticate", id="REG-9-vscode"),
    ],
)
async def test_good_redirect_uris_are_kept_exactly(world: World, uri: str) -> None:
    registered = await world.register(redirect_uris=[GOOD, uri])
    assert registered["redirect_uris"] == [GOOD, uri]


async def test_reg_9_the_operator_allows_further_schemes(make_world: Callable[..., Any]) -> None:
    world = await make_world(redirect_schemes="Acme-Notes, other")
    for uri in ("acme-notes://oauth/callback", "other:/cb", "cursor://anysphere.cursor-mcp/oauth/callback"):
        assert (await world.register(redirect_uris=[uri]))["redirect_uris"] == [uri]
    await refused(world, REDIRECT, redirect_uris=["foo:/cb"])
    await refused(world, REDIRECT, redirect_uris=["javascript:alert(1)"])


# ------------------------------------------------------------------------------------------ grants and methods
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"grant_types": ["password"]}, id="REG-10-password"),
        pytest.param({"grant_types": ["implicit"]}, id="REG-10-implicit"),
        pytest.param({"grant_types": ["client_credentials"]}, id="REG-10-client-credentials"),
        pytest.param({"grant_types": ["authorization_code", "password"]}, id="REG-10-password-too"),
        pytest.param({"grant_types": ["authorization_code", "implicit"]}, id="REG-10-implicit-too"),
        pytest.param(
            {"grant_types": ["authorization_code", "client_credentials"]}, id="REG-10-client-credentials-too"
        ),
        pytest.param(
            {"grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"]}, id="REG-10-jwt-bearer"
        ),
        pytest.param({"grant_types": ["Authorization_Code"]}, id="REG-10-wrong-case"),
        pytest.param({"grant_types": "authorization_code"}, id="REG-10-string"),
        pytest.param({"grant_types": [["authorization_code"]]}, id="REG-10-list-in-list"),
        pytest.param({"grant_types": [None]}, id="REG-10-null-in-list"),
        pytest.param({"response_types": ["token"]}, id="REG-11-token"),
        pytest.param({"response_types": ["code", "token"]}, id="REG-11-token-too"),
        pytest.param({"response_types": ["code token"]}, id="REG-11-hybrid"),
        pytest.param({"response_types": ["id_token"]}, id="REG-11-id-token"),
        pytest.param({"response_types": ["none"]}, id="REG-11-none"),
        pytest.param({"response_types": "code"}, id="REG-11-string"),
        pytest.param({"response_types": [{}]}, id="REG-11-object-in-list"),
        pytest.param({"grant_types": ["authorization_code"], "response_types": []}, id="REG-11-code-without"),
        pytest.param(
            {"grant_types": ["refresh_token"], "response_types": ["code"]}, id="REG-11-not-for-code"
        ),
        pytest.param({"token_endpoint_auth_method": "private_key_jwt"}, id="REG-12-key-without-key"),
        pytest.param({"token_endpoint_auth_method": "client_secret_jwt"}, id="REG-12-secret-jwt"),
        pytest.param({"token_endpoint_auth_method": "tls_client_auth"}, id="REG-12-certificate"),
        pytest.param({"token_endpoint_auth_method": "magic"}, id="REG-12-unknown"),
        pytest.param({"token_endpoint_auth_method": "None"}, id="REG-12-wrong-case"),
        pytest.param({"token_endpoint_auth_method": ["none"]}, id="REG-12-list"),
        pytest.param({"token_endpoint_auth_method": 1}, id="REG-12-number"),
    ],
)
async def test_a_client_that_could_not_work_or_do_too_much_is_refused(
    world: World, changes: dict[str, Any]
) -> None:
    await refused(world, METADATA, **changes)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none", None])
async def test_reg_12_a_registered_client_can_authenticate(world: World, method: str | None) -> None:
    body = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": method}
    answer = await world.http.post("/oauth/register", json={k: v for k, v in body.items() if v is not None})
    assert answer.status_code == 201, answer.text
    client = answer.json()
    # Without a method RFC 7591 §2 says client_secret_basic, and §3.2.1 asks to be told.
    assert client["token_endpoint_auth_method"] == (method or "client_secret_basic")
    form = world.redemption(client, await world.code(client, scope="mcp"))
    headers = {}
    if method in {None, "client_secret_basic"}:
        del form["client_id"]
        pair = f"{client['client_id']}:{client['client_secret']}"
        headers = {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    redeemed = await world.http.post("/oauth/token", data=form, headers=headers)

    assert redeemed.status_code == 200, redeemed.text


# ------------------------------------------------------------------------------------------ the answer
async def test_a_registration_is_answered_as_rfc_7591_says(world: World) -> None:
    sent = {
        "client_name": "Test App",
        "client_uri": "https://app.example/",
        "redirect_uris": [GOOD, REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_post",
        "application_type": "native",
    }
    answer = await world.http.post("/oauth/register", json=sent)

    assert answer.status_code == 201
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert "no-store" in answer.headers["cache-control"]
    body = answer.json()
    assert {name: body[name] for name in sent if name != "application_type"} == {
        name: value for name, value in sent.items() if name != "application_type"
    }
    assert body["client_id_issued_at"] == int(world.clock.now().timestamp())
    assert isinstance(body["client_secret_expires_at"], int)
    assert len(body["client_secret"]) >= 43


async def test_a_public_client_gets_no_secret(world: World) -> None:
    registered = await world.register(token_endpoint_auth_method="none")
    assert "client_secret" not in registered
    assert "client_secret_expires_at" not in registered


async def test_omitted_metadata_gets_the_defaults_of_rfc_7591(world: World) -> None:
    answer = await world.http.post("/oauth/register", json={"redirect_uris": [GOOD]})
    assert answer.status_code == 201
    assert answer.json()["grant_types"] == ["authorization_code"]
    assert answer.json()["response_types"] == ["code"]


async def test_metadata_that_is_not_understood_is_ignored(world: World) -> None:
    registered = await world.register(
        **{"x_future": {"nested": [1, {"a": None}]}, "client_name#de": "Prüfling", "software_version": "1.2"}
    )
    assert registered["client_name"] == "Test App"


async def test_an_unsigned_software_statement_changes_nothing(world: World) -> None:
    claims = base64.urlsafe_b64encode(b'{"redirect_uris":["https://evil.example/cb"]}').rstrip(b"=").decode()
    statement = f"eyJhbGciOiJub25lIn0.{claims}."
    registered = await world.register(redirect_uris=[GOOD], software_statement=statement)
    assert registered["redirect_uris"] == [GOOD]


async def test_reg_25_client_ids_are_fresh_and_never_urls(make_world: Callable[..., Any]) -> None:
    world = await make_world(registrations_per_minute=1000)
    names = [(await world.register())["client_id"] for _ in range(500)]
    assert len(set(names)) == 500
    assert not [name for name in names if name.lower().startswith(("https:", "http:"))]
