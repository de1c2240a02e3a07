"""The door of the MCP endpoint (RFC 6750, RFC 9728): who gets in, and how the others learn the way."""

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx2
import pytest

from app.oauth import jwt
from tests import back_channel
from tests.support.world import World, mcp_call, mcp_headers
from tests.test_access_tokens import assert_invalid_token, segments, signing_key

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
PARAMETER = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def challenge_of(answer: httpx2.Response) -> dict[str, str]:
    """The parameters of the Bearer challenge, each once; it stands first."""
    value = answer.headers.get_list("www-authenticate")[0]
    assert value.startswith("Bearer ")
    found = PARAMETER.findall(value)
    parameters = dict(found)
    assert len(found) == len(parameters), value
    assert ", ".join(f'{name}="{text}"' for name, text in found) == value.removeprefix("Bearer ")
    return parameters


async def post(
    world: World, headers: Mapping[str, str] | None = None, path: str = "/mcp", **body: Any
) -> httpx2.Response:
    """A whoami call with these further headers."""
    sent = {**mcp_headers(None, "whoami"), **(headers or {})}
    return await world.http.post(path, headers=sent, **({"json": mcp_call("whoami", {})} | body))


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(None, id="RSV-1-none"),
        pytest.param("", id="RSV-2-empty"),
        pytest.param("Bearer", id="RSV-2-bearer"),
        pytest.param("Bearer ", id="RSV-2-bearer-space"),
        pytest.param("Bearer  ", id="RSV-2-bearer-spaces"),
        pytest.param("Basic x", id="RSV-2-basic"),
        pytest.param("Token x", id="RSV-2-token"),
        pytest.param("Bearerx", id="RSV-2-glued"),
        pytest.param("x", id="RSV-2-no-scheme"),
    ],
)
async def test_who_brings_no_token_is_shown_the_way(
    world: World, authorization: str | None, path: str
) -> None:
    recorded = await back_channel.records_of(world)

    answer = await post(world, {} if authorization is None else {"authorization": authorization}, path)

    assert answer.status_code == 401
    parameters = challenge_of(answer)
    assert parameters["resource_metadata"] == "http://localhost:8000/.well-known/oauth-protected-resource/mcp"
    assert "error" not in parameters
    assert set(parameters["scope"].split()) >= {"mcp"}
    assert "offline_access" not in parameters["scope"]
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert await back_channel.records_of(world) > recorded


@pytest.mark.parametrize("prefix", ["", "/base"])
async def test_rsv_1_the_challenge_leads_to_the_metadata(make_world: MakeWorld, prefix: str) -> None:
    """RFC 9728 §3.1: the well-known part stands between the host and the path of the resource."""
    world = await make_world(public_url=f"https://mcp.example{prefix}")
    async with world.machine() as machine:
        answer = await machine.post(f"https://mcp.example{prefix}/mcp", json=mcp_call("whoami", {}))
        assert answer.status_code == 401
        address = challenge_of(answer)["resource_metadata"]
        metadata = (await machine.get(address)).json()

    assert address == f"https://mcp.example/.well-known/oauth-protected-resource{prefix}/mcp"
    assert metadata["resource"] == world.settings.resource


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "HEAD"])
async def test_rsv_1_every_method_needs_a_token(world: World, method: str) -> None:
    answer = await world.http.request(method, "/mcp", headers={"accept": "text/event-stream"})

    assert answer.status_code in {401, 405}
    if answer.status_code == 401:
        assert "resource_metadata" in challenge_of(answer)


async def test_rsv_3_an_expired_token_is_refused(world: World) -> None:
    tokens = await world.tokens(await world.register())
    assert (await world.call(tokens["access_token"])).status_code == 200

    world.clock.advance(seconds=tokens["expires_in"])

    assert_invalid_token(world, await world.call(tokens["access_token"]))


async def test_rsv_3_a_revoked_token_is_refused(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    await world.revoke(client, tokens["access_token"])

    assert_invalid_token(world, await world.call(tokens["access_token"]))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_may_be_in_any_case(world: World, scheme: str) -> None:
    tokens = await world.tokens(await world.register())

    answer = await post(world, {"authorization": f"{scheme} {tokens['access_token']}"})

    assert answer.status_code == 200, answer.text


async def test_a_token_beside_the_header_is_ignored(world: World) -> None:
    """OAuth 2.1 §5.1 and RFC 6750 §2.3: a token in the query or the body opens nothing."""
    token = (await world.tokens(await world.register()))["access_token"]

    query = await world.http.post(
        "/mcp",
        params={"access_token": token},
        headers=mcp_headers(None, "whoami"),
        json=mcp_call("whoami", {}),
    )
    form = await world.http.post("/mcp", data={"access_token": token})
    body = await post(world, json={**mcp_call("whoami", {}), "access_token": token})
    cookie = await post(world, {"cookie": f"access_token={token}"})

    assert [answer.status_code for answer in (query, form, body, cookie)] == [401] * 4
    assert all("error" not in challenge_of(answer) for answer in (query, form, body, cookie))


async def test_two_authorization_headers_are_refused(world: World) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    for pair in ((token, "x"), ("x", token), (token, token)):
        headers = [
            *mcp_headers(None, "whoami").items(),
            *(("authorization", f"Bearer {one}") for one in pair),
        ]

        answer = await world.http.post("/mcp", headers=headers, json=mcp_call("whoami", {}))

        assert answer.status_code in {400, 401}, answer.text
        assert "resource_metadata" in challenge_of(answer)


# -------------------------------------------------------------------------------------------------- scope
@pytest.mark.parametrize(
    "scope", [pytest.param("profile email", id="RSV-9-others"), pytest.param("", id="RSV-9-empty")]
)
async def test_a_token_without_the_base_scope_is_told_what_is_missing(world: World, scope: str) -> None:
    tokens = await world.tokens(await world.register())
    _, claims = segments(tokens["access_token"])
    recorded = await back_channel.records_of(world)

    answer = await world.call(jwt.sign({**claims, "scope": scope}, signing_key(world), "at+jwt"))

    assert answer.status_code == 403
    parameters = challenge_of(answer)
    assert parameters["error"] == "insufficient_scope"
    assert "mcp" in parameters["scope"].split()
    assert "offline_access" not in parameters["scope"]
    assert parameters["resource_metadata"].endswith("/.well-known/oauth-protected-resource/mcp")
    assert answer.json()["error"] == "insufficient_scope"
    assert answer.headers["cache-control"] == "no-store"
    assert await back_channel.records_of(world) > recorded


async def test_rsv_9_a_person_who_allowed_less_gets_the_same_answer(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope="profile")

    answer = await world.call(tokens["access_token"])

    assert (answer.status_code, challenge_of(answer)["error"]) == (403, "insufficient_scope")


async def test_rsv_9_mcp_alone_is_enough_for_the_endpoint(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope="mcp")

    assert (await world.call(tokens["access_token"])).status_code == 200


# ------------------------------------------------------------------------------- who lost their right
@pytest.mark.parametrize(
    "event",
    [
        pytest.param("user disabled", id="RSV-11-user-disabled"),
        pytest.param("user enabled again", id="RSV-11-user-enabled-again"),
        pytest.param("password reset", id="RSV-11-password-reset"),
        pytest.param("grant revoked", id="RSV-11-grant-revoked"),
        pytest.param("client disabled", id="ADM-7-client-disabled"),
        pytest.param("client deleted", id="ADM-7-client-deleted"),
    ],
)
async def test_the_next_call_after_the_right_is_gone_is_refused(world: World, event: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    other = await world.register(client_name="Neighbour")
    await world.create_user("bob")
    neighbour = await world.tokens(other, "bob")
    assert (await world.call(tokens["access_token"])).status_code == 200
    match event:
        case "user disabled":
            await back_channel.disable_user(world)
        case "user enabled again":
            await back_channel.disable_user(world)
            await back_channel.enable_user(world)
        case "password reset":
            await back_channel.reset_password(world)
        case "grant revoked":
            grant = segments(tokens["access_token"])[1]["grant_id"]
            await back_channel.revoke_grants(world, grant)
        case "client disabled":
            await back_channel.disable_client(world, client)
        case _:
            await back_channel.delete_client(world, client)

    assert_invalid_token(world, await world.call(tokens["access_token"]))
    assert (await world.call(neighbour["access_token"])).status_code == 200


async def test_adm_7_a_disabled_client_is_turned_away_everywhere(world: World) -> None:
    client = await world.register()
    code, tokens = await world.code(client), await world.tokens(client)
    browser = await world.signed_in_browser()

    await back_channel.disable_client(world, client)

    page = await world.authorize(browser, client)
    assert page.status_code == 400
    assert page.headers["content-type"].startswith("text/html")
    back_channel.assert_error(await world.redeem(client, code), 401, "invalid_client")
    back_channel.assert_error(await world.refresh(client, tokens["refresh_token"]), 401, "invalid_client")
    assert_invalid_token(world, await world.call(tokens["access_token"]))
