"""What a client may change of its own registration (RFC 7592 §2.2), and what that means (MGT-5)."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests import back_channel
from tests.configuration import (
    CONFIDENTIAL,
    EVIL,
    JSON,
    assert_refused,
    headers,
    metadata_of,
    read,
    update,
)
from tests.front_channel import Standing, assert_page, change
from tests.support.world import REDIRECT_URI, World

pytest_plugins = ["tests.standing"]


# ------------------------------------------------------------------------------------------ replacing
async def test_an_update_replaces_everything(standing: Standing) -> None:
    world = standing.world
    client = await world.register(
        client_name="Before", client_uri="https://app.example/", contacts=["a@b.example"], scope="mcp"
    )
    answer = await update(
        world,
        client,
        client_name="After",
        client_uri=...,
        contacts=...,
        scope=...,
        redirect_uris=["https://app.example/new"],
        grant_types=["authorization_code"],
    )

    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["client_name"] == "After"
    assert changed["redirect_uris"] == ["https://app.example/new"]
    assert changed["grant_types"] == ["authorization_code"]
    assert not {"client_uri", "contacts", "scope"} & changed.keys()
    for name in ("client_id", "client_id_issued_at", "registration_client_uri", "registration_access_token"):
        assert changed[name] == client[name]
    assert (await read(world, client)).json() == changed


async def test_an_update_whose_answer_was_lost_can_be_sent_again(standing: Standing) -> None:
    client = await standing.world.register()
    first, second = [await update(standing.world, client, client_name="Twice") for _ in range(2)]
    assert first.json() == second.json()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": ...}, id="no-client_id"),
        pytest.param({"client_id": "client_other"}, id="other-client_id"),
        pytest.param({"client_id": ["x"]}, id="list-as-client_id"),
        pytest.param({"client_id": None}, id="null-as-client_id"),
        pytest.param({"registration_access_token": "x"}, id="registration_access_token"),
        pytest.param({"registration_client_uri": "https://evil.example/"}, id="registration_client_uri"),
        pytest.param({"client_secret_expires_at": 0}, id="client_secret_expires_at"),
        pytest.param({"client_id_issued_at": None}, id="client_id_issued_at"),
        pytest.param({"client_secret": "of my own choice"}, id="secret-of-its-own-choice"),
        pytest.param({"client_secret": 7}, id="number-as-secret"),
        pytest.param({"client_secret": {}}, id="object-as-secret"),
        pytest.param({"token_endpoint_auth_method": "none"}, id="wants-no-secret"),
        pytest.param({"token_endpoint_auth_method": "private_key_jwt"}, id="key-without-key"),
        pytest.param({"jwks": {"keys": "none"}}, id="keys-that-are-none"),
        pytest.param({"token_endpoint_auth_method": "magic"}, id="unknown-method"),
        pytest.param({"grant_types": ["client_credentials"]}, id="client-credentials"),
        pytest.param({"grant_types": ["password"]}, id="password"),
        pytest.param({"response_types": ["token"]}, id="implicit"),
        pytest.param({"client_name": "x\u202e"}, id="deceiving-name"),
        pytest.param({"client_name": 10**4000}, id="huge-number"),
        pytest.param({"logo_uri": "javascript:alert(1)"}, id="javascript-logo"),
        pytest.param({"scope": 'a"'}, id="malformed-scope"),
        pytest.param({"contacts": [[[[[[1]]]]]]}, id="nested-contacts"),
    ],
)
async def test_an_update_that_registration_would_refuse_or_that_takes_more_is_refused(
    standing: Standing, changes: dict[str, Any]
) -> None:
    client = await standing.client(client_name="Unchanged", **CONFIDENTIAL)
    await back_channel.refused(
        standing.world, update(standing.world, client, **changes), 400, "invalid_client_metadata"
    )


@pytest.mark.parametrize(
    "uris",
    [
        pytest.param([REDIRECT_URI, "http://evil.example/cb"], id="REG-4"),
        pytest.param(["javascript:alert(1)"], id="REG-5"),
        pytest.param([], id="REG-3"),
        pytest.param(..., id="REG-3-missing"),
    ],
)
async def test_redirect_uris_are_held_to_the_same_rules(standing: Standing, uris: Any) -> None:
    client = await standing.client(client_name="Unchanged", **CONFIDENTIAL)
    await back_channel.refused(
        standing.world, update(standing.world, client, redirect_uris=uris), 400, "invalid_redirect_uri"
    )


async def test_a_public_client_does_not_become_one_with_a_secret(standing: Standing) -> None:
    client = await standing.client()
    await back_channel.refused(
        standing.world, update(standing.world, client, **CONFIDENTIAL), 400, "invalid_client_metadata"
    )
    # Nor by leaving the method out, although registration would take client_secret_basic for meant.
    left_out = await update(standing.world, client, token_endpoint_auth_method=...)
    assert left_out.json()["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in left_out.json()


async def test_a_public_client_has_no_secret_to_send(standing: Standing) -> None:
    client = await standing.client()
    await back_channel.refused(
        standing.world, update(standing.world, client, client_secret="x"), 400, "invalid_client_metadata"
    )


@pytest.mark.parametrize("sent", [True, False])
async def test_a_client_keeps_its_secret_and_may_send_it_otherwise(standing: Standing, sent: bool) -> None:
    world = standing.world
    client = await world.register(**CONFIDENTIAL)
    secret = client["client_secret"] if sent else ...
    answer = await update(
        world, client, client_secret=secret, token_endpoint_auth_method="client_secret_basic"
    )
    assert answer.status_code == 200, answer.text
    assert "client_secret" not in answer.json()

    code = await world.code(client)
    form = world.redemption({**client, "token_endpoint_auth_method": "none"}, code)
    headers_ = back_channel.basic(client)
    assert (await world.http.post("/oauth/token", data=form, headers=headers_)).status_code == 200


async def test_a_secret_whose_time_is_over_is_replaced(world: World) -> None:
    client = await world.register(**CONFIDENTIAL)
    ends = world.clock.now() + timedelta(days=1)
    await change(world, "UPDATE clients SET secret_expires_at = :ends", ends=_bound(world, ends))
    assert (await read(world, client)).json()["client_secret_expires_at"] == int(ends.timestamp())
    assert "client_secret" not in (await update(world, client)).json()
    world.clock.advance(days=2)

    renewed = (await update(world, client)).json()

    assert renewed["client_secret"] != client["client_secret"]
    assert renewed["client_secret_expires_at"] == 0
    code = await world.code(client)
    refused = await world.redeem(client, code)
    assert refused.status_code == 401
    assert (await world.redeem({**client, **renewed}, code)).status_code == 200


def _bound(world: World, instant: Any) -> Any:
    """An instant as this database's raw SQL takes it."""
    return instant.replace(tzinfo=None).isoformat(" ") if world.database.is_sqlite else instant


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut-off"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"x"', id="string"),
        pytest.param(b"NaN", id="nan"),
        pytest.param(b"[" * 200 + b"]" * 200, id="200-deep"),
        pytest.param(b'{"a":' * 10_000, id="10000-deep"),
        pytest.param(b'{"client_id": ' + b"9" * 50_000 + b"}", id="huge-number"),
        pytest.param(b'{"client_id": "\\ud800"}', id="surrogate"),
        pytest.param(b'{"client_id": "\\u0000"}', id="nul"),
        pytest.param(b"\xff", id="not-utf-8"),
    ],
)
async def test_a_body_that_is_no_metadata_is_refused(standing: Standing, content: bytes) -> None:
    client = await standing.client()
    async with back_channel.no_effect(standing.world):
        answer = await standing.world.http.put(
            client["registration_client_uri"], content=content, headers={**headers(client), **JSON}
        )
    assert_refused(answer, 400, "invalid_client_metadata")


async def test_updates_count_as_registrations(make_world: Callable[..., Any]) -> None:
    world = await make_world(registrations_per_minute=3)
    client = await world.register()
    body = json.dumps(metadata_of(client))
    statuses = [
        (
            await world.http.put(
                client["registration_client_uri"], content=body, headers={**headers(client), **JSON}
            )
        ).status_code
        for _ in range(4)
    ]
    assert statuses == [200, 200, 429, 429]
    assert (await read(world, client)).status_code == 200


# ------------------------------------------------------------------------------------------ what it means for consent
async def test_mgt_5_a_question_that_was_asked_before_the_change_is_not_approved(world: World) -> None:
    client = await world.register(redirect_uris=["https://app.example/cb"])
    await world.tokens(client)
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client)
    world.clock.advance(seconds=1)

    answer = await update(world, client, redirect_uris=["https://app.example/cb", EVIL])

    assert answer.status_code == 200
    refused = await world.decide(browser, parked.headers["location"])
    assert_page(refused)
    # The next one asks, and says where the answer goes.
    world.clock.advance(seconds=1)
    again = await world.authorize(browser, client, redirect_uri=EVIL)
    assert again.headers["location"].startswith("/consent/")
    page = await browser.get(again.headers["location"])
    assert "evil.example" in page.text


async def test_mgt_5_what_was_allowed_before_the_change_is_asked_for_anew(world: World) -> None:
    """Nothing of it is taken along silently to where the answer goes now."""
    client = await world.register(redirect_uris=["https://app.example/cb"])
    await world.tokens(client, scope="mcp profile email")
    world.clock.advance(seconds=1)
    assert (await update(world, client, redirect_uris=["https://app.example/cb", EVIL])).status_code == 200
    world.clock.advance(seconds=1)

    code = await world.code(client, redirect_uri=EVIL, scope="mcp")

    form = world.redemption(client, code, redirect_uri=EVIL)
    tokens = (await world.http.post("/oauth/token", data=form)).json()
    assert tokens["scope"] == "mcp"
    # What is allowed from now on is allowed to the app as it is now.
    again = await world.tokens(client, scope="profile")
    assert set(again["scope"].split()) == {"mcp", "profile"}


async def test_mgt_5_a_code_from_before_the_change_is_not_redeemed_for_the_new_address(world: World) -> None:
    client = await world.register(redirect_uris=["https://app.example/cb"])
    code = await world.code(client)
    world.clock.advance(seconds=1)
    assert (await update(world, client, redirect_uris=[EVIL])).status_code == 200

    answer = await world.redeem(client, code, redirect_uri=EVIL)

    back_channel.assert_error(answer, 400, "invalid_grant")


async def test_mgt_5_what_was_removed_gets_no_answer_any_more(world: World) -> None:
    client = await world.register(redirect_uris=["https://app.example/cb", "https://app.example/old"])
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client, redirect_uri="https://app.example/old")
    assert (await update(world, client, redirect_uris=["https://app.example/cb"])).status_code == 200

    assert_page(await world.decide(browser, parked.headers["location"]))
    assert_page(await world.authorize(browser, client, redirect_uri="https://app.example/old"))


async def test_an_update_that_says_nothing_new_to_people_disturbs_nobody(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client)
    world.clock.advance(seconds=1)
    assert (await update(world, client, software_version="2")).status_code == 200
    assert (await world.decide(browser, parked.headers["location"])).status_code == 303


async def test_mgt_5_who_was_not_told_that_the_app_stays_is_asked_anew(world: World) -> None:
    """The page tells for how long an app may come back without asking: what it does not tell was not allowed."""
    client = await world.register(grant_types=["authorization_code"])
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client)
    page = await browser.get(parked.headers["location"])
    assert "Stay connected" not in page.text
    code = await world.code(client)
    world.clock.advance(seconds=1)

    changed = await update(world, client, grant_types=["authorization_code", "refresh_token"])

    assert changed.status_code == 200
    assert_page(await world.decide(browser, parked.headers["location"]))
    assert "refresh_token" not in (await world.redeem(client, code)).json()
    world.clock.advance(seconds=1)
    assert "refresh_token" in await world.tokens(client)


async def test_mgt_5_connections_that_were_allowed_go_on(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    world.clock.advance(seconds=1)
    assert (await update(world, client, redirect_uris=[REDIRECT_URI, EVIL])).status_code == 200
    assert (await world.call(tokens["access_token"])).status_code == 200
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200
