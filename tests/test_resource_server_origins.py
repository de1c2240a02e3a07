"""Browsers and addresses at the MCP endpoint: both spellings of its path, DNS rebinding, CORS."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.world import World, mcp_call, mcp_headers

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
INSPECTOR = "http://localhost:6274"


def names_in(value: str) -> set[str]:
    """The lower-case names of a list header."""
    return {name.strip().lower() for name in value.split(",")}


@pytest.mark.parametrize(
    "path", [pytest.param("/mcp", id="RSV-12-plain"), pytest.param("/mcp/", id="RSV-12-slash")]
)
async def test_both_spellings_are_answered_directly_and_alike(world: World, path: str) -> None:
    tokens = await world.tokens(await world.register())

    good = await world.call(tokens["access_token"], path=path)
    none = await world.call(None, path=path)
    bad = await world.call("x", path=path)

    assert good.json()["result"]["structuredContent"]["username"] == "alice"
    assert (none.status_code, bad.status_code) == (401, 401)
    assert none.headers["www-authenticate"] == (await world.call(None)).headers["www-authenticate"]


@pytest.mark.parametrize("path", ["/mcp-other", "/mcpx", "/mcp/other", "/mcp//", "/MCP"])
async def test_rsv_12_no_other_path_reaches_a_tool(world: World, path: str) -> None:
    tokens = await world.tokens(await world.register())

    answer = await world.call(tokens["access_token"], path=path)

    assert answer.status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"origin": "https://evil.example"}, id="RSV-13-origin"),
        pytest.param({"origin": "http://localhost.evil.example:8000"}, id="RSV-13-origin-suffix"),
        pytest.param({"origin": "http://evil.example/http://localhost:8000"}, id="RSV-13-origin-path"),
        pytest.param({"origin": "null"}, id="RSV-13-origin-null"),
        pytest.param({"host": "evil.example"}, id="RSV-13-host"),
        pytest.param({"host": "evil.example:8000"}, id="RSV-13-host-port"),
        pytest.param({"host": "localhost.evil.example:8000"}, id="RSV-13-host-suffix"),
        pytest.param({"host": "localhost:8000@evil.example"}, id="RSV-13-host-userinfo"),
    ],
)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_a_rebound_browser_is_refused_on_loopback(
    world: World, headers: dict[str, str], path: str
) -> None:
    tokens = await world.tokens(await world.register())
    sent = {**mcp_headers(tokens["access_token"], "whoami"), **headers}

    answer = await world.http.post(path, headers=sent, json=mcp_call("whoami", {}))

    assert answer.status_code == 403
    assert "alice" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="RSV-13-no-origin"),
        pytest.param({"origin": INSPECTOR}, id="RSV-13-inspector"),
        pytest.param({"origin": "http://127.0.0.1:6274"}, id="RSV-13-loopback-address"),
        pytest.param({"origin": "http://localhost:8000"}, id="RSV-13-own-origin"),
        pytest.param({"host": "127.0.0.1:8000"}, id="RSV-13-host-by-address"),
        pytest.param({"host": "LOCALHOST:8000"}, id="RSV-13-host-in-upper-case"),
    ],
)
async def test_rsv_13_local_programs_are_served_on_loopback(world: World, headers: dict[str, str]) -> None:
    tokens = await world.tokens(await world.register())
    sent = {**mcp_headers(tokens["access_token"], "whoami"), **headers}

    answer = await world.http.post("/mcp", headers=sent, json=mcp_call("whoami", {}))

    assert answer.status_code == 200, answer.text


async def test_rsv_13_an_allow_list_of_origins_is_kept(make_world: MakeWorld) -> None:
    world = await make_world(public_url="https://mcp.example", allowed_origins="https://app.example")
    await world.create_user("alice")
    tokens = await world.tokens(await world.register())
    for origin, status in (("https://app.example", 200), ("https://evil.example", 403)):
        headers = {**mcp_headers(tokens["access_token"], "whoami"), "origin": origin}

        answer = await world.http.post("/mcp", headers=headers, json=mcp_call("whoami", {}))

        assert answer.status_code == status, origin


async def test_rsv_13_another_host_does_not_become_the_address_of_anything(make_world: MakeWorld) -> None:
    world = await make_world(public_url="https://mcp.example")
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example"}

    answer = await world.http.post("/mcp", headers=headers, json=mcp_call("whoami", {}))

    assert answer.status_code in {401, 403, 421}
    assert "evil" not in str(answer.headers) + answer.text


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_rsv_19_the_preflight_of_the_inspector_is_allowed(world: World, method: str, path: str) -> None:
    asked = "authorization,content-type,mcp-protocol-version,mcp-session-id,mcp-method,mcp-name,last-event-id"

    answer = await world.http.options(
        path,
        headers={
            "origin": INSPECTOR,
            "access-control-request-method": method,
            "access-control-request-headers": asked,
        },
    )

    assert answer.status_code in {200, 204}
    assert answer.headers["access-control-allow-origin"] in {"*", INSPECTOR}
    assert method in {name.upper() for name in names_in(answer.headers["access-control-allow-methods"])}
    # `*` would not cover Authorization (Fetch §4.8).
    assert names_in(asked) <= names_in(answer.headers["access-control-allow-headers"])
    assert "access-control-allow-credentials" not in answer.headers


async def test_rsv_19_a_browser_can_read_answers_and_refusals(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope="mcp")
    narrow = await world.tokens(await world.register(), scope="profile")
    for token, status in (
        (None, 401),
        ("x", 401),
        (narrow["access_token"], 403),
        (tokens["access_token"], 200),
    ):
        headers = {**mcp_headers(token, "whoami"), "origin": INSPECTOR}

        answer = await world.http.post("/mcp", headers=headers, json=mcp_call("whoami", {}))

        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] in {"*", INSPECTOR}
        exposed = names_in(answer.headers["access-control-expose-headers"])
        assert {"www-authenticate", "mcp-session-id"} <= exposed
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
async def test_rsv_19_a_browser_can_read_the_refusals_of_the_back_channel(world: World, path: str) -> None:
    preflight = await world.http.options(
        path,
        headers={
            "origin": INSPECTOR,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        },
    )
    refusal = await world.http.post(path, data={}, headers={"origin": INSPECTOR})

    assert preflight.status_code in {200, 204}
    assert refusal.status_code in {400, 401}
    for answer in (preflight, refusal):
        assert answer.headers["access-control-allow-origin"] in {"*", INSPECTOR}
        assert "access-control-allow-credentials" not in answer.headers
