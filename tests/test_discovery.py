"""What clients read first (RFC 8414, RFC 9728): true, complete, and the same from wherever they ask."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.support.internet import Internet, document
from tests.support.signing import SigningClient
from tests.support.world import REDIRECT_URI, World, answer_of, mcp_call

ISSUER = "http://localhost:8000"
RESOURCE = "http://localhost:8000/mcp"
SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
PROTECTED = "/.well-known/oauth-protected-resource"
KEYS = "/.well-known/jwks.json"


async def metadata(world: World) -> dict[str, Any]:
    """The authorization server's metadata."""
    answer = await world.http.get(SERVER)
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def urls_in(value: Any) -> Iterator[str]:
    """Every URL in a document."""
    if isinstance(value, dict):
        for item in value.values():
            yield from urls_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from urls_in(item)
    elif isinstance(value, str) and "://" in value:
        yield value


def assert_json_404(answer: httpx2.Response) -> None:
    """The error shape of machines, never a page."""
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert set(answer.json()) >= {"error", "error_description"}
    assert "no-store" in answer.headers["cache-control"]


# ------------------------------------------------------------------------------------------ one public URL
@pytest.mark.parametrize("source", ["203.0.113.9", "127.0.0.1"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"host": "evil.example"}, id="DSC-1-host"),
        pytest.param({"host": "evil.example:8000"}, id="DSC-1-host-and-port"),
        pytest.param({"x-forwarded-host": "evil.example"}, id="DSC-1-x-forwarded-host"),
        pytest.param({"forwarded": "host=evil.example;proto=https"}, id="DSC-1-forwarded"),
        pytest.param({"x-forwarded-proto": "https"}, id="DSC-1-x-forwarded-proto"),
        pytest.param({"x-forwarded-prefix": "/evil", "x-script-name": "/evil"}, id="DSC-1-prefix"),
        pytest.param({"x-original-url": "/evil", "x-rewrite-url": "/evil"}, id="DSC-1-rewritten"),
    ],
)
async def test_no_header_changes_what_the_server_says_of_itself(
    world: World, headers: dict[str, str], source: str
) -> None:
    async with world.machine(source) as machine:
        for path in (SERVER, OPENID, PROTECTED, f"{PROTECTED}/mcp"):
            honest = await world.http.get(path)
            answer = await machine.get(path, headers=headers)
            assert answer.status_code in {400, 421} or answer.content == honest.content, answer.text

        challenged = await machine.post("/mcp", headers=headers, json=mcp_call("whoami", {}))
        assert challenged.status_code in {400, 401, 403, 421}
        assert "evil" not in str(challenged.headers) + challenged.text

        client = await world.register()
        sent = await machine.get("/authorize", params=world.authorization(client), headers=headers)
        assert "evil" not in sent.headers.get("location", "")
        page = await machine.get("/login", headers=headers)
        assert "evil" not in page.text + str(page.headers)


@pytest.mark.parametrize("source", ["203.0.113.9", "127.0.0.1"])
async def test_dsc_1_a_forwarded_http_does_not_make_an_https_server_plain(
    make_world: Callable[..., Any], source: str
) -> None:
    world = await make_world(public_url="https://host.example")
    transport = httpx2.ASGITransport(world.app, raise_app_exceptions=False, client=(source, 40000))
    headers = {"x-forwarded-proto": "http", "host": "evil.example"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://internal:8000", headers=headers
    ) as http:
        for path in (SERVER, OPENID, PROTECTED, f"{PROTECTED}/mcp"):
            answer = await http.get(path)
            assert answer.status_code in {200, 400, 421}
            assert all(url.startswith("https://host.example") for url in urls_in(answer.json()))
        for path in ("/", "/login", "/authorize?client_id=unknown", "//evil.example/%0d%0ax: y"):
            answer = await http.get(path)
            assert answer.headers.get("location", "https://host.example/").startswith("https://host.example/")
            assert "http://internal" not in answer.text
            assert "evil.example" not in answer.text
            assert "x" not in answer.headers


async def test_every_url_is_absolute_and_below_the_public_url(world: World) -> None:
    document = await metadata(world)
    assert document["issuer"] == ISSUER
    assert document.get("protected_resources", [RESOURCE]) == [RESOURCE]
    found = list(urls_in(document))
    assert len(found) >= 5
    assert all(url == ISSUER or url.startswith(ISSUER + "/") for url in found)


# ------------------------------------------------------------------------------------------ where it is found
@pytest.mark.parametrize(
    ("path", "must"),
    [
        pytest.param("/.well-known/oauth-authorization-server/ostiary", True, id="DSC-3-inserted"),
        pytest.param("/.well-known/openid-configuration/ostiary", True, id="DSC-3-inserted-openid"),
        pytest.param("/ostiary/.well-known/openid-configuration", True, id="DSC-3-appended-openid"),
        pytest.param("/ostiary/.well-known/oauth-authorization-server", False, id="DSC-3-appended"),
        pytest.param("/.well-known/oauth-authorization-server", False, id="DSC-3-root"),
        pytest.param("/.well-known/openid-configuration", False, id="DSC-3-root-openid"),
        pytest.param("/.well-known/oauth-authorization-server/ostiary/mcp", False, id="DSC-3-resource"),
        pytest.param("/.well-known/oauth-authorization-server/ostiary/", False, id="DSC-3-slash"),
        pytest.param("/.well-known/oauth-authorization-server/OSTIARY", False, id="DSC-3-upper-case"),
        pytest.param("/.well-known/oauth-authorization-server/other", False, id="DSC-3-other"),
        pytest.param("/.well-known/openid-configuration/other", False, id="DSC-3-other-openid"),
    ],
)
async def test_an_issuer_with_a_path_is_found_and_never_another_one(
    make_world: Callable[..., Any], path: str, must: bool
) -> None:
    world = await make_world(public_url="https://host.example/ostiary")
    async with httpx2.AsyncClient(transport=_transport(world), base_url="https://host.example") as http:
        answer = await http.get(path)
    if not must and answer.status_code == 404:
        assert_json_404(answer)
        return
    assert answer.status_code == 200, answer.text
    assert answer.json()["issuer"] == "https://host.example/ostiary"
    assert all(url.startswith("https://host.example/ostiary") for url in urls_in(answer.json()))


@pytest.mark.parametrize("suffix", ["/other", "/mcp-other", "/mcp/more", "/MCP", "/%2e%2e", "/mcp%00"])
async def test_dsc_3_dsc_4_other_suffixes_are_a_json_404(world: World, suffix: str) -> None:
    for path in (SERVER, OPENID, PROTECTED):
        assert_json_404(await world.http.get(path + suffix))


async def test_dsc_3_all_forms_are_one_document(world: World) -> None:
    document = await metadata(world)
    for path in (OPENID, f"{SERVER}/mcp", f"{OPENID}/mcp"):
        answer = await world.http.get(path)
        if answer.status_code == 404:
            assert_json_404(answer)
        else:
            assert answer.json() == document
    assert (await world.http.get(OPENID)).status_code == 200


async def test_dsc_4_the_resource_describes_itself_under_its_own_name(world: World) -> None:
    answer = await world.http.get(f"{PROTECTED}/mcp")
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    document = answer.json()
    assert document["resource"] == RESOURCE
    assert document["authorization_servers"] == [ISSUER]
    assert document["bearer_methods_supported"] == ["header"]
    assert not [name for name, value in document.items() if value in ([], None)]

    root = await world.http.get(PROTECTED)
    assert root.status_code == 404 or root.json()["resource"] == RESOURCE


async def test_dsc_4_a_resource_with_a_path_is_described_where_rfc_9728_says(
    make_world: Callable[..., Any],
) -> None:
    world = await make_world(public_url="https://host.example/ostiary")
    async with httpx2.AsyncClient(transport=_transport(world), base_url="https://host.example") as http:
        answer = await http.get(f"{PROTECTED}/ostiary/mcp")
        challenge = (await http.post("/ostiary/mcp", json={})).headers["www-authenticate"]
    assert answer.json()["resource"] == "https://host.example/ostiary/mcp"
    assert answer.json()["authorization_servers"] == ["https://host.example/ostiary"]
    assert f'resource_metadata="https://host.example{PROTECTED}/ostiary/mcp"' in challenge


@pytest.mark.parametrize("path", [SERVER, OPENID, PROTECTED, f"{PROTECTED}/mcp", KEYS])
async def test_documents_are_json_to_everyone_and_only_read(world: World, path: str) -> None:
    answer = await world.browser().get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert "set-cookie" not in answer.headers
    refused = await world.http.post(path, json={})
    assert refused.status_code == 405
    assert "error" in refused.json()
    assert "GET" in refused.headers["allow"]


async def test_dsc_5_offline_access_is_nothing_the_resource_asks_for(world: World) -> None:
    for path in (PROTECTED, f"{PROTECTED}/mcp"):
        assert "offline_access" not in (await world.http.get(path)).json()["scopes_supported"]

    tokens = await world.tokens(await world.register(), scope="profile offline_access")
    unauthenticated, unknown = await world.call(None), await world.call("unknown")
    insufficient = await world.call(tokens["access_token"])

    assert [answer.status_code for answer in (unauthenticated, unknown, insufficient)] == [401, 401, 403]
    for answer in (unauthenticated, unknown, insufficient):
        challenge = answer.headers["www-authenticate"]
        assert f'resource_metadata="{ISSUER}{PROTECTED}/mcp"' in challenge
        assert "offline_access" not in challenge + answer.text


# ------------------------------------------------------------------------------------------ what it promises
async def test_dsc_7_the_one_challenge_method_is_s256(world: World) -> None:
    for path in (SERVER, OPENID):
        assert (await world.http.get(path)).json()["code_challenge_methods_supported"] == ["S256"]


async def test_members_whose_defaults_would_be_wrong_are_there(world: World) -> None:
    document = await metadata(world)
    assert document["response_types_supported"] == ["code"]
    assert document["response_modes_supported"] == ["query"]
    assert {"authorization_code", "refresh_token"} <= set(document["grant_types_supported"])
    assert not {"implicit", "password"} & set(document["grant_types_supported"])
    # RFC 8414 §2: members without elements are left out.
    assert not [name for name, value in document.items() if value in ([], None, "")]


async def test_every_endpoint_that_is_named_is_there(world: World) -> None:
    document = await metadata(world)
    endpoints = {name: url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert {"authorization_endpoint", "token_endpoint", "registration_endpoint", "jwks_uri"} <= set(endpoints)
    for name, url in endpoints.items():
        method = "GET" if name in {"authorization_endpoint", "jwks_uri"} else "POST"
        answer = await world.http.request(method, url)
        assert answer.status_code in {200, 400, 401}, name


async def test_an_endpoint_that_is_there_is_named(world: World) -> None:
    document = await metadata(world)
    members = {
        "introspection_endpoint": "/oauth/introspect",
        "pushed_authorization_request_endpoint": "/oauth/par",
        "device_authorization_endpoint": "/oauth/device_authorization",
        "userinfo_endpoint": "/oauth/userinfo",
        "revocation_endpoint": "/oauth/revoke",
    }
    for member, path in members.items():
        there = (await world.http.post(path)).status_code != 404
        assert (document.get(member) == ISSUER + path) is there, member


async def test_dsc_8_every_authentication_method_that_is_named_works(world: World) -> None:
    document = await metadata(world)
    named = document["token_endpoint_auth_methods_supported"]
    assert "none" in named
    for method in (
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "client_secret_jwt",
    ):
        signer = SigningClient()
        body = {
            "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": method,
            **({"jwks": signer.jwks} if method == "private_key_jwt" else {}),
        }
        answer = await world.http.post("/oauth/register", json=body)
        assert (answer.status_code == 201) is (method in named), method
        if answer.status_code == 201:
            client = answer.json()
            form = world.redemption(client, await world.code(client, scope="mcp"))
            headers = {}
            if method == "private_key_jwt":
                signer.client_id = client["client_id"]
                form |= signer.proof(world)
            if method == "client_secret_basic":
                del form["client_id"]
                pair = f"{client['client_id']}:{client['client_secret']}"
                headers = {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
            redeemed = await world.http.post("/oauth/token", data=form, headers=headers)
            assert redeemed.status_code == 200, method


async def test_dsc_8_every_grant_type_that_is_named_is_known(world: World) -> None:
    named = (await metadata(world))["grant_types_supported"]
    client = await world.register()
    for grant_type in (*named, "password", "implicit", "urn:ietf:params:oauth:grant-type:device_code"):
        form = {"grant_type": grant_type, "client_id": client["client_id"]}
        error = (await world.http.post("/oauth/token", data=form)).json()["error"]
        assert (error == "unsupported_grant_type") is (grant_type not in named), grant_type


async def test_dsc_8_iss_is_in_every_answer_as_promised(world: World) -> None:
    assert (await metadata(world))["authorization_response_iss_parameter_supported"] is True
    client, browser = await world.register(), await world.signed_in_browser()
    answers = [await world.authorize(browser, client, response_type="token")]
    for decision in ("approve", "deny"):
        parked = await world.authorize(browser, client)
        answers.append(await world.decide(browser, parked.headers["location"], decision))
    assert [answer_of(answer.headers["location"]).get("iss") for answer in answers] == [ISSUER] * 3


@pytest.mark.parametrize("on", [pytest.param(True, id="DSC-8-on"), pytest.param(False, id="DSC-8-off")])
async def test_client_id_metadata_documents_are_promised_only_while_they_work(
    make_world: Callable[..., Any], internet: Internet, on: bool
) -> None:
    world = await make_world(egress=internet.egress(), client_id_metadata_documents=on)
    await world.create_user("alice")
    promised = (await metadata(world)).get("client_id_metadata_document_supported", False)
    assert promised is on
    if on:
        assert (await world.redeem(document(), await world.code(document()))).status_code == 200
    else:
        refused = await world.authorize(world.browser(), document())
        assert refused.status_code == 400
        assert "location" not in refused.headers
        assert (internet.lookups, internet.connections) == ([], [])


async def test_every_scope_that_is_named_can_be_had(world: World) -> None:
    named = (await metadata(world))["scopes_supported"]
    tokens = await world.tokens(await world.register(), scope=" ".join(named))
    assert set(tokens.get("scope", " ".join(named)).split()) == set(named)
    assert set((await world.http.get(f"{PROTECTED}/mcp")).json()["scopes_supported"]) <= set(named)


async def test_the_published_keys_are_public_and_verify(world: World) -> None:
    document = (await world.http.get(KEYS)).json()
    assert document["keys"]
    for key in document["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k", "oth"} & set(key)
        assert key["kid"]
        assert key["alg"]
        assert key["use"] == "sig"
    # Which tokens name them is for the token tests; here only that the name is published.
    tokens = await world.tokens(await world.register())
    header = json.loads(_unpadded(tokens["access_token"].split(".")[0]))
    assert header["kid"] in [key["kid"] for key in document["keys"]]
    assert header["alg"] != "none"


def _unpadded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _transport(world: World) -> httpx2.ASGITransport:
    return httpx2.ASGITransport(world.app, raise_app_exceptions=False, client=("203.0.113.7", 40000))
