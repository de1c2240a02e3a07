"""The client configuration endpoint (RFC 7592): a client looks after its own registration, and after no other."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests import back_channel
from tests.configuration import CONFIDENTIAL, EVIL, JSON, assert_refused, headers, metadata_of, read, update
from tests.front_channel import Standing
from tests.support.world import World, running_world

pytest_plugins = ["tests.standing"]


# ------------------------------------------------------------------------------------------ registration
async def test_a_registration_tells_where_it_is_looked_after_and_with_what(standing: Standing) -> None:
    world = standing.world
    client = await world.register()

    assert client["registration_client_uri"] == (
        f"{world.settings.public_url}/oauth/register/{client['client_id']}"
    )
    assert client["registration_access_token"].startswith("ost_registration_")
    stored = await world.rows("SELECT * FROM clients WHERE client_id = :id", id=client["client_id"])
    assert client["registration_access_token"] not in str(stored)


async def test_with_the_feature_off_there_is_neither_field_nor_endpoint(
    make_world: Callable[..., Any],
) -> None:
    before = await (await make_world()).register()
    world = await make_world(features_off="registration_management")
    client = await world.register()

    assert not [name for name in client if name.startswith("registration_")]
    for method in ("GET", "PUT", "DELETE"):
        answer = await world.http.request(
            method, before["registration_client_uri"], headers={**headers(before), **JSON}, content=b"{}"
        )
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


async def test_below_a_path_prefix_the_address_has_it_too(make_world: Callable[..., Any]) -> None:
    world = await make_world(public_url="http://localhost:8000/ostiary")
    client = await world.register()
    assert client["registration_client_uri"].startswith("http://localhost:8000/ostiary/oauth/register/")
    assert (await read(world, client)).json()["client_id"] == client["client_id"]


# ------------------------------------------------------------------------------------------ who may
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        pytest.param(None, "Bearer", id="MGT-1-none"),
        pytest.param("Bearer", "Bearer", id="MGT-1-empty"),
        pytest.param("Bearer  ", "Bearer", id="MGT-1-blank"),
        pytest.param("Basic Y2xpZW50OnNlY3JldA==", "Bearer", id="MGT-1-other-scheme"),
        pytest.param("Bearer ost_registration_wrong", "invalid_token", id="MGT-1-wrong"),
        pytest.param("Bearer \xe4\xf6", "invalid_token", id="MGT-1-not-ascii"),
        pytest.param("Bearer " + "x" * 5000, "invalid_token", id="MGT-1-long"),
        pytest.param("{token} x", "Bearer", id="MGT-1-token-as-scheme"),
        pytest.param("Bearer {token}x", "invalid_token", id="MGT-1-one-letter-more"),
        pytest.param("Bearer {other}", "invalid_token", id="MGT-2-of-another-client"),
        pytest.param("Bearer {access_token}", "invalid_token", id="MGT-1-access-token"),
        pytest.param("Bearer {secret}", "invalid_token", id="MGT-1-client-secret"),
    ],
)
async def test_nobody_else_looks_after_a_registration(
    standing: Standing, method: str, authorization: str | None, challenge: str
) -> None:
    world = standing.world
    client = await standing.client(client_name="Mine", **CONFIDENTIAL)
    other = await standing.client(client_name="Other")
    if "{access_token}" in (authorization or ""):
        tokens = await world.tokens(client)
    else:
        tokens = {"access_token": ""}
    sent: dict[str, Any] = {}
    if authorization is not None:
        sent["authorization"] = authorization.format(
            token=client["registration_access_token"],
            other=other["registration_access_token"],
            secret=client["client_secret"],
            access_token=tokens["access_token"],
        ).encode("latin-1")
    body = metadata_of(client, redirect_uris=[EVIL])

    async with back_channel.no_effect(world):
        answer = await world.http.request(
            method, client["registration_client_uri"], headers={**sent, **JSON}, content=json.dumps(body)
        )

    assert_refused(answer, 401, "invalid_token")
    assert challenge in answer.headers["www-authenticate"]
    if challenge == "Bearer":
        # RFC 6750 §3.1: no error code for someone who sent nothing.
        assert "error" not in answer.headers["www-authenticate"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "client_id", ["client_unknown", "x", "%00", "a%00b", "..", "%2e%2e", "\u00e4", "x" * 3000, "%ff"]
)
async def test_a_client_that_is_not_there_is_told_like_a_wrong_token(
    standing: Standing, method: str, client_id: str
) -> None:
    """RFC 7592 §2.1: nobody learns from the answer who is registered."""
    world = standing.world
    client = await standing.client()
    address = f"/oauth/register/{quote(client_id, safe='%.')}"
    answer = await world.http.request(
        method, address, headers={**headers(client), **JSON}, content=json.dumps(metadata_of(client))
    )
    # Clients of HTTP take dots out of the path themselves.
    expected = (404, "not_found") if client_id == ".." else (401, "invalid_token")
    assert (answer.status_code, answer.json()["error"]) in {expected, (405, "invalid_request")}
    assert answer.status_code == 401 or "." in client_id or "%2e" in client_id


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_written_in_any_case(standing: Standing, scheme: str) -> None:
    client = await standing.client()
    answer = await standing.world.http.get(client["registration_client_uri"], headers=headers(client, scheme))
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_other_methods_are_not_allowed(standing: Standing, method: str) -> None:
    client = await standing.client()
    answer = await standing.world.http.request(
        method, client["registration_client_uri"], headers=headers(client)
    )
    assert_refused(answer, 405, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_disabled_client_stays_as_the_operator_left_it(world: World, method: str) -> None:
    client = await world.register()
    await back_channel.disable_client(world, client)
    async with back_channel.no_effect(world):
        answer = await world.http.request(
            method,
            client["registration_client_uri"],
            headers={**headers(client), **JSON},
            content=json.dumps(metadata_of(client)),
        )
    assert_refused(answer, 403, "access_denied")


async def test_mgt_1_guesses_are_counted(world: World) -> None:
    client = await world.register()
    statuses = []
    async with world.machine("198.51.100.9") as guesser:
        for number in range(70):
            answer = await guesser.get(
                client["registration_client_uri"], headers={"authorization": f"Bearer guess{number}"}
            )
            statuses.append(answer.status_code)
    assert statuses == [401] * 60 + [429] * 10
    assert (await read(world, client)).status_code == 200


async def test_a_token_proven_under_the_previous_key_is_kept_under_the_present_one(
    database_url: str,
) -> None:
    async with running_world(database_url) as before:
        client = await before.register()
    key = "another secret key, long enough too"
    old = before.settings.secret_key
    async with running_world(database_url, secret_key=key, secret_key_previous=old) as between:
        assert (await read(between, client)).status_code == 200
    async with running_world(database_url, secret_key=key) as after:
        assert (await read(after, client)).status_code == 200
        assert (await update(after, client, client_name="Renamed")).status_code == 200


# ------------------------------------------------------------------------------------------ reading
async def test_a_client_reads_what_it_registered(standing: Standing) -> None:
    client = await standing.world.register(
        client_name="Reader", client_uri="https://app.example/", scope="mcp profile", contacts=["a@b.example"]
    )
    answer = await read(standing.world, client)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    assert answer.json() == client


async def test_a_secret_is_shown_once(standing: Standing) -> None:
    """Only its hash is stored; RFC 7592 §2.1 would let the server make a new one, which a lost answer would lose."""
    client = await standing.world.register(**CONFIDENTIAL)
    answer = (await read(standing.world, client)).json()
    assert answer == {name: value for name, value in client.items() if name != "client_secret"}
    assert answer["client_secret_expires_at"] == 0
