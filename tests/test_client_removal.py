"""A client that removes itself (RFC 7592 §2.3), and what the address of its configuration bears. MGT-6."""

import json
from typing import Any

import pytest

from tests import back_channel
from tests.configuration import (
    CONFIDENTIAL,
    JSON,
    _numbers,
    assert_refused,
    headers,
    metadata_of,
    read,
    remove,
    update,
)
from tests.front_channel import Standing, assert_page, change
from tests.support.world import REDIRECT_URI, World

pytest_plugins = ["tests.standing"]


# ------------------------------------------------------------------------------------------ removing
async def test_mgt_6_a_client_that_removes_itself_takes_everything_along(world: World) -> None:
    client, other = await world.register(), await world.register(client_name="Other")
    tokens, kept = await world.tokens(client), await world.tokens(other)
    code = await world.code(client)
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client)

    answer = await remove(world, client)

    assert (answer.status_code, answer.content) == (204, b"")
    assert "no-store" in answer.headers["cache-control"]
    assert (await world.call(tokens["access_token"])).status_code == 401
    back_channel.assert_error(await world.refresh(client, tokens["refresh_token"]), 401, "invalid_client")
    back_channel.assert_error(await world.redeem(client, code), 401, "invalid_client")
    assert_page(await world.authorize(browser, client))
    assert_page(await browser.get(parked.headers["location"]))
    assert not await world.rows("SELECT 1 FROM grants WHERE client_id = :id", id=client["client_id"])
    assert (await world.call(kept["access_token"])).status_code == 200

    # What is gone has no token any more.
    for again in (await read(world, client), await update(world, client), await remove(world, client)):
        assert_refused(again, 401, "invalid_token")


# ------------------------------------------------------------------------------------------ who has none
async def test_clients_that_came_otherwise_have_no_configuration_endpoint(world: World) -> None:
    client = await world.register()
    await change(world, "UPDATE clients SET registration = 'manual', registration_token_hash = NULL")
    for token in ("", "None", client["registration_access_token"]):
        answer = await world.http.get(
            client["registration_client_uri"], headers={"authorization": f"Bearer {token}"}
        )
        assert_refused(answer, 401, "invalid_token")


# ------------------------------------------------------------------------------------------ browsers
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_browser_clients_of_any_origin_may_call_it(standing: Standing, method: str) -> None:
    world = standing.world
    client = await world.register()
    asked = {
        "origin": "https://chat.example",
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type",
    }
    preflight = await world.http.options(client["registration_client_uri"], headers=asked)
    assert preflight.status_code == 200, preflight.text
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert method in preflight.headers["access-control-allow-methods"]

    answer = await world.http.request(
        method,
        client["registration_client_uri"],
        headers={**headers(client), **JSON, "origin": "https://chat.example"},
        content=json.dumps(metadata_of(client)),
    )
    assert answer.status_code in {200, 204}
    assert answer.headers["access-control-allow-origin"] == "*"
    refused = await world.http.request(
        method, client["registration_client_uri"], headers={"origin": "https://chat.example"}
    )
    assert refused.headers["access-control-allow-origin"] == "*"
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]


# ------------------------------------------------------------------------------------------ every field, every type
WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    10**30,
    "",
    "\u0000",
    "x" * 10_000,
    [],
    [None],
    [[]],
    {},
    {"a": {}},
    [0] * 500,
]


@pytest.mark.parametrize(
    "field",
    [
        *("client_id", "client_name", "redirect_uris", "grant_types", "response_types", "scope", "contacts"),
        *("token_endpoint_auth_method", "client_secret", "client_uri", "logo_uri", "tos_uri", "policy_uri"),
        *("jwks", "jwks_uri", "software_id", "software_version", "application_type", "software_statement"),
        *("token_endpoint_auth_signing_alg", "dpop_bound_access_tokens", "client_name#de"),
    ],
)
async def test_no_field_of_any_type_breaks_the_server(standing: Standing, field: str) -> None:
    world = standing.world
    client = await standing.client(client_name="Bent", **CONFIDENTIAL)
    for value in WRONG:
        updated = await update(world, client, **{field: value})
        assert updated.status_code in {200, 400}, (value, updated.text)
        body = json.dumps({"redirect_uris": [REDIRECT_URI], field: value})
        async with world.machine(f"198.19.0.{next(_numbers) % 250}") as machine:
            registered = await machine.post("/oauth/register", content=body, headers=JSON)
        assert registered.status_code in {201, 400}, (value, registered.text)
