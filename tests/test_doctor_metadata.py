"""What `ostiary doctor` says of metadata, registration and endpoints that are broken (users.md, cases.md DSC)."""

import pytest
from starlette.responses import JSONResponse

from app.doctor.finding import CURSOR, INSPECTOR, VS_CODE
from tests.support.troubled_server import URL, TroubledServer, page, said
from tests.troubles import (
    ALL,
    ASM,
    HTTP,
    PRM,
    Break,
    assert_found,
    at,
    both,
    challenge,
    says,
)

BROKEN = [
    pytest.param(
        challenge(f'Bearer resource_metadata="http://10.0.0.7:8000{PRM}/mcp"'),
        {"resource_metadata": "fail", "challenge_on_wrong_token": "warn"},
        ALL,
        "public address",
        id="row 4: the challenge points inside",
    ),
    pytest.param(
        challenge('Bearer resource_metadata="the metadata"'),
        {"resource_metadata": "fail", "challenge_on_wrong_token": "warn"},
        ALL,
        "no http or https URL",
        id="the challenge points to no address",
    ),
    pytest.param(
        at(f"GET {PRM}/mcp", answer=page()),
        {"resource_metadata": "fail"},
        ALL,
        "a page (HTML) instead of JSON",
        id="row 10: a page where the metadata should be",
    ),
    pytest.param(
        at(f"GET {PRM}/mcp", answer=lambda _: JSONResponse([])),
        {"resource_metadata": "fail"},
        ALL,
        "no JSON object",
        id="metadata that is no object",
    ),
    pytest.param(
        both(
            challenge(f'Bearer resource_metadata="https://mcp.example{PRM}", error="invalid_token"'),
            at(f"GET {PRM}/mcp", answer=said(404)),
        ),
        {"well_known": "warn"},
        set(),
        "do not look at the challenge",
        id="row 10: metadata at the root alone",
    ),
    pytest.param(
        both(
            challenge(f'Bearer resource_metadata="https://mcp.example{PRM}", error="invalid_token"'),
            at(f"GET {PRM}/mcp", answer=said(200, resource=URL)),
        ),
        {"well_known": "fail"},
        set(),
        "something else",
        id="two documents that differ",
    ),
    pytest.param(
        at(f"GET {PRM}", answer=said(200, resource="https://mcp.example/other")),
        {"root_document": "warn"},
        set(),
        "/other",
        id="the root is about another resource",
    ),
    pytest.param(
        at(f"GET {PRM}", answer=page()), {"root_document": "warn"}, set(), "HTML", id="a page at the root"
    ),
    pytest.param(at(f"GET {PRM}", answer=said(404)), {}, set(), "", id="nothing at the root"),
    pytest.param(
        says("resource", resource=f"{URL}/"),
        {"resource": "fail"},
        {VS_CODE},
        "differ by a slash",
        id="row 19: a slash after the resource",
    ),
    pytest.param(
        says("resource", resource=HTTP),
        {"resource": "fail"},
        ALL,
        "scheme is another",
        id="row 4: the resource without TLS",
    ),
    pytest.param(
        says("resource", resource="https://ostiary:8000/mcp"),
        {"resource": "fail"},
        ALL,
        "host is another",
        id="row 4: the resource under an inner host",
    ),
    pytest.param(
        says("resource", resource="https://mcp.example"),
        {"resource": "fail"},
        {VS_CODE},
        "others ask for the whole",
        id="row 19: the host alone",
    ),
    pytest.param(
        says("resource", resource="https://mcp.example/mc"),
        {"resource": "fail"},
        ALL,
        "/mc,",
        id="another path",
    ),
    pytest.param(says("resource", resource=None), {"resource": "fail"}, ALL, "None", id="no resource"),
    pytest.param(
        says("resource", authorization_servers=[]),
        {"authorization_servers": "fail"},
        ALL,
        "names no authorization server",
        id="no authorization server",
    ),
    pytest.param(
        says("resource", authorization_servers=["mcp.example"]),
        {"authorization_servers": "fail"},
        ALL,
        "no address",
        id="an authorization server that is no address",
    ),
    pytest.param(
        says("resource", authorization_servers=["http://mcp.example"]),
        {"authorization_servers": "fail", "server_metadata": "fail"},
        ALL,
        "without TLS",
        id="row 4: an authorization server without TLS",
    ),
    pytest.param(
        says("resource", scopes_supported=["mcp", "offline_access"]),
        {"offline_access": "warn"},
        set(),
        "offline_access",
        id="DSC-5 offline_access as a scope of the resource",
    ),
    # -------------------------------------------------------------------------- authorization server metadata
    pytest.param(
        at(f"GET {ASM}", answer=said(404)),
        {"server_metadata": "fail"},
        ALL,
        "There is none",
        id="row 10: no server metadata",
    ),
    pytest.param(
        at(f"GET {ASM}", answer=page()),
        {"server_metadata": "fail"},
        ALL,
        "HTML",
        id="row 23: a page instead",
    ),
    pytest.param(
        says("metadata", issuer="https://mcp.example/"),
        {"issuer": "fail"},
        ALL,
        "differ by a slash",
        id="row 19: a slash after the issuer",
    ),
    pytest.param(
        says("metadata", issuer="http://localhost:8000"),
        {"issuer": "fail"},
        ALL,
        "8000",
        id="row 4: inner issuer",
    ),
    pytest.param(says("metadata", issuer=None), {"issuer": "fail"}, ALL, "None", id="no issuer"),
    pytest.param(
        says("metadata", token_endpoint="http://mcp.example/token"),
        {"endpoints": "fail", "token_endpoint": "fail"},
        ALL,
        "without TLS",
        id="row 4: an endpoint without TLS",
    ),
    pytest.param(
        says("metadata", authorization_endpoint="https://ostiary:8443/authorize"),
        {"endpoints": "fail", "authorization_endpoint": "fail"},
        ALL,
        "address inside",
        id="row 4: an endpoint on an inner host",
    ),
    pytest.param(
        says("metadata", token_endpoint="/token"),
        {"endpoints": "fail", "token_endpoint": "fail"},
        ALL,
        "/token",
        id="an endpoint that is a path",
    ),
    pytest.param(
        says("metadata", token_endpoint=None), {"endpoints": "fail"}, ALL, "None", id="no token endpoint"
    ),
    pytest.param(
        says("metadata", code_challenge_methods_supported=None),
        {"pkce": "fail"},
        ALL,
        "is missing",
        id="DSC-7 PKCE is not told",
    ),
    pytest.param(
        says("metadata", code_challenge_methods_supported=["plain"]),
        {"pkce": "fail"},
        ALL,
        "plain",
        id="DSC-7 plain alone",
    ),
    pytest.param(
        says("metadata", code_challenge_methods_supported=["plain", "S256"]),
        {"pkce": "warn"},
        set(),
        "plain as well",
        id="DSC-7 plain too",
    ),
    pytest.param(
        says("metadata", token_endpoint_auth_methods_supported=["client_secret_basic"]),
        {"public_clients": "fail"},
        {CURSOR, VS_CODE, INSPECTOR},
        "client_secret_basic alone",
        id="DSC-8 none is missing",
    ),
    pytest.param(
        says("metadata", token_endpoint_auth_methods_supported=None),
        {"public_clients": "warn"},
        set(),
        "means with a secret",
        id="DSC-8 no methods are told",
    ),
    pytest.param(
        says("metadata", response_types_supported=["token"]),
        {"grants": "fail"},
        ALL,
        "code",
        id="no code flow",
    ),
    pytest.param(
        says("metadata", grant_types_supported=["client_credentials"]),
        {"grants": "fail"},
        ALL,
        "authorization_code",
        id="no grant type for people",
    ),
    pytest.param(
        says("metadata", grant_types_supported=["authorization_code"]),
        {"grants": "warn"},
        set(),
        "refresh_token",
        id="row 14: no refresh tokens",
    ),
    pytest.param(
        says("metadata", authorization_response_iss_parameter_supported=None),
        {"answer_names_issuer": "warn"},
        set(),
        "no iss",
        id="RFC 9207 is not supported",
    ),
    # ---------------------------------------------------------------------- registration, authorization, token
    pytest.param(
        says("metadata", registration_endpoint=None),
        {"ways_to_register": "fail"},
        ALL,
        "can’t make themselves known",
        id="no way to register",
    ),
    pytest.param(
        says("metadata", registration_endpoint=None, client_id_metadata_document_supported=True),
        {"ways_to_register": "fail"},
        {CURSOR, INSPECTOR},
        "alone",
        id="metadata documents alone",
    ),
    pytest.param(
        at("POST /register", answer=said(400, error="invalid_redirect_uri", error_description="https only")),
        {f"registers_{name}": "fail" for name in ("claude", "chatgpt", "cursor", "vs_code", "mcp_inspector")},
        ALL,
        "invalid_redirect_uri: https only",
        id="row 12: redirect URIs are refused",
    ),
    pytest.param(
        at("POST /register", answer=said(201, client_id="stays")),
        {},
        set(),
        "which stays: stays",
        id="no RFC 7592",
    ),
    pytest.param(
        at("DELETE /register/client-0", answer=said(500)),
        {"registers_claude": "warn"},
        set(),
        "could not remove it",
        id="a client that can't be removed",
    ),
    pytest.param(
        at("POST /register", answer=said(403)),
        {f"registers_{name}": "fail" for name in ("claude", "chatgpt", "cursor", "vs_code", "mcp_inspector")},
        ALL,
        "without a token",
        id="registration is closed",
    ),
    pytest.param(
        at("GET /authorize", answer=said(404)),
        {"authorization_endpoint": "fail"},
        ALL,
        "404",
        id="no authorization endpoint",
    ),
    pytest.param(
        at("GET /authorize", answer=lambda request: page(400)(request)),
        {"other_port": "fail"},
        {VS_CODE},
        "without their port",
        id="row 11: the port of loopback counts",
    ),
    pytest.param(
        at("POST /token", answer=page(403)),
        {"token_endpoint": "fail"},
        ALL,
        "firewall",
        id="row 23: a page instead of a token error",
    ),
    pytest.param(
        at("POST /token", answer=said(200)),
        {"token_endpoint": "fail"},
        ALL,
        "200",
        id="a wrong code is taken",
    ),
    pytest.param(
        at("POST /token", answer=said(500)),
        {"token_endpoint": "fail"},
        ALL,
        "500",
        id="the token endpoint fails",
    ),
]


@pytest.mark.parametrize(("break_it", "expected", "stops", "words"), BROKEN)
async def test_what_is_broken_is_found_and_named(
    troubled: TroubledServer, break_it: Break, expected: dict[str, str], stops: set[str], words: str
) -> None:
    await assert_found(troubled, break_it, expected, stops, words)
