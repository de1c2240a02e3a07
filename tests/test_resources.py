"""Several resources under one authorization server: each with its own audience, scopes and metadata (RFC 8707)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from app.settings import InvalidSettings, Settings, load_settings
from tests.support.world import SECRET_KEY, World, mcp_call, mcp_headers

notes = MCPServer("notes", title="Notes")
ELSEWHERE = "https://files.example/mcp"
SCOPES = [
    {"name": "notes:read", "sentence": "Read your notes"},
    {"name": "files:read", "sentence": "Read your files"},
]
RESOURCES = [
    {"path": "/mcp", "scopes": ["mcp", "profile", "email"]},
    {
        "path": "/mcp/notes",
        "server": "tests.test_resources:notes",
        "scopes": ["notes:read"],
        "required_scopes": ["notes:read"],
    },
    {"url": ELSEWHERE, "name": "Files", "scopes": ["files:read"], "required_scopes": ["files:read"]},
]


@notes.tool()
async def read() -> str:
    """Read a note."""
    return "a note"


@pytest.fixture
async def several(make_world: Callable[..., Any]) -> World:
    world: World = await make_world(scopes=SCOPES, resources=RESOURCES)
    await world.create_user("alice")
    return world


async def test_each_resource_has_its_own_metadata(several: World) -> None:
    issuer = several.settings.public_url
    default = (await several.http.get("/.well-known/oauth-protected-resource/mcp")).json()
    assert (default["resource"], default["scopes_supported"]) == (
        f"{issuer}/mcp",
        ["mcp", "profile", "email"],
    )
    other = (await several.http.get("/.well-known/oauth-protected-resource/mcp/notes")).json()
    assert (other["resource"], other["scopes_supported"]) == (f"{issuer}/mcp/notes", ["notes:read"])
    assert other["resource_name"] == "Notes"
    server = (await several.http.get("/.well-known/oauth-authorization-server")).json()
    assert server["protected_resources"] == [f"{issuer}/mcp", f"{issuer}/mcp/notes", ELSEWHERE]
    assert {"notes:read", "files:read"} <= set(server["scopes_supported"])
    assert (await several.http.get("/.well-known/oauth-protected-resource/mcp/files")).status_code == 404


async def test_a_scope_on_demand_is_not_asked_for_at_first_but_can_be_granted(
    make_world: Callable[..., Any],
) -> None:
    write = {"name": "notes:write", "sentence": "Write your notes", "on_demand": True}
    world = await make_world(scopes=[write], resources=[{"path": "/mcp", "required_scopes": ["mcp"]}])
    await world.create_user("alice")
    client = await world.register()
    metadata = (await world.http.get("/.well-known/oauth-protected-resource/mcp")).json()
    challenge = (await world.http.post("/mcp")).headers["www-authenticate"]
    server = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["scopes_supported"] == ["mcp", "profile", "email"]
    assert 'scope="mcp profile email"' in challenge
    assert "notes:write" in server["scopes_supported"]
    assert (await world.tokens(client, scope=None))["scope"] == "mcp profile email"
    asked = await world.tokens(client, scope="mcp notes:write")
    assert "notes:write" in asked["scope"].split()


async def test_what_a_resource_requires_is_asked_for_at_first(make_world: Callable[..., Any]) -> None:
    write = {"name": "notes:write", "sentence": "Write your notes", "on_demand": True}
    entry = {"path": "/mcp", "scopes": ["notes:write"], "required_scopes": ["notes:write"]}
    world = await make_world(scopes=[write], resources=[entry])
    assert 'scope="notes:write"' in (await world.http.post("/mcp")).headers["www-authenticate"]


async def test_rsv_6_a_token_serves_the_resource_that_it_was_asked_for_and_no_other(several: World) -> None:
    client = await several.register()
    resource = f"{several.settings.public_url}/mcp/notes"
    token = (await several.tokens(client, resource=resource, scope="notes:read"))["access_token"]
    headers, body = mcp_headers(token, "read"), mcp_call("read", {})
    for path in ("/mcp/notes", "/mcp/notes/"):
        answer = await several.http.post(path, headers=headers, json=body)
        assert answer.status_code == 200, answer.text
        assert "a note" in answer.text
    refused = await several.http.post("/mcp", headers=headers, json=body)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


async def test_each_challenge_names_its_own_resource(several: World) -> None:
    issuer = several.settings.public_url
    for path, scope in (("/mcp", "mcp profile email"), ("/mcp/notes", "notes:read")):
        challenge = (await several.http.post(path)).headers["www-authenticate"]
        assert f'resource_metadata="{issuer}/.well-known/oauth-protected-resource{path}"' in challenge
        assert f'scope="{scope}"' in challenge


async def test_scopes_of_another_resource_are_dropped(several: World) -> None:
    """A scope that means nothing at the resource is not granted, and the token response says so."""
    tokens = await several.tokens(await several.register(), scope="mcp notes:read offline_access")
    assert set(tokens["scope"].split()) == {"mcp", "offline_access"}


async def test_tokens_for_a_resource_elsewhere_carry_its_audience(several: World) -> None:
    tokens = await several.tokens(await several.register(), resource=ELSEWHERE, scope="files:read")
    assert tokens["scope"] == "files:read"
    refused = await several.http.post(
        "/mcp", headers=mcp_headers(tokens["access_token"], "whoami"), json=mcp_call("whoami", {})
    )
    assert refused.status_code == 401


async def test_auz_17_two_resources_at_once_are_refused(several: World) -> None:
    client, browser = await several.register(), await several.signed_in_browser()
    pairs = (*several.authorization(client).items(), ("resource", ELSEWHERE))
    answer = await browser.get("/authorize", params=pairs)
    assert answer.status_code == 303
    assert "error=invalid_target" in answer.headers["location"]


async def test_tok_19_a_code_is_not_redeemed_for_another_of_our_resources(several: World) -> None:
    client = await several.register()
    code = await several.code(client)
    form = several.redemption(client, code, resource=ELSEWHERE)
    answer = await several.http.post("/oauth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")
    assert (await several.http.post("/oauth/token", data=several.redemption(client, code))).status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"scopes": [{"name": "mcp", "sentence": "x"}]}, "twice", id="a scope declared again"),
        pytest.param({"scopes": [{"name": "a b", "sentence": "x"}]}, "not the name", id="no scope name"),
        pytest.param(
            {"scopes": [{"name": "a\\", "sentence": "x"}]}, "not the name", id="malformed scope name"
        ),
        pytest.param(
            {"scopes": [{"name": "a", "sentence": "x", "implies": ["b"]}]}, "declare", id="implies unknown"
        ),
        pytest.param({"resources": [{"path": "/mcp", "scopes": ["b"]}]}, "declare", id="unknown scope"),
        pytest.param(
            {"resources": [{"path": "/mcp", "scopes": ["openid"]}]}, "belongs", id="scope of the server"
        ),
        pytest.param({"resources": [{"path": "/mcp"}, {"path": "/mcp"}]}, "twice", id="a place twice"),
        pytest.param({"resources": [{"path": "/other", "server": "a:b"}]}, "below", id="outside /mcp"),
        pytest.param({"resources": [{"path": "/mcp/a"}]}, "needs a server", id="no server"),
        pytest.param(
            {"resources": [{"url": "https://a/b", "server": "a:b"}]}, "elsewhere", id="server elsewhere"
        ),
        pytest.param({"resources": [{}]}, "either", id="no place"),
        pytest.param({"resources": [{"url": "http://a.example/b"}]}, "https", id="plain http elsewhere"),
        pytest.param({"resources": [{"url": "a"}]}, "valid host", id="no URL"),
        pytest.param({"features_off": "dpop,what"}, "what is none of", id="unknown feature"),
    ],
)
def test_what_does_not_fit_together_is_refused_at_start(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(_env_file=None, secret_key=SECRET_KEY, **changes)


def test_lists_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOPES", json.dumps(SCOPES))
    monkeypatch.setenv("RESOURCES", json.dumps(RESOURCES))
    monkeypatch.setenv("FEATURES_OFF", "dpop, device")
    settings = Settings(_env_file=None, secret_key=SECRET_KEY)
    assert [scope.name for scope in settings.scopes] == ["notes:read", "files:read"]
    assert settings.resources[2].url == ELSEWHERE
    assert settings.features_off == ("dpop", "device")


def test_a_malformed_list_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOPES", "[{")
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    with pytest.raises(InvalidSettings, match="SCOPES"):
        load_settings()
