"""What becomes of what was allowed when a metadata document changes. CIM-18, 21, 24."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import sqlalchemy as sa

from app.audit import Origin
from app.authorization_server import store
from tests.back_channel import refused
from tests.support.internet import URL, Internet, ask, document, is_page
from tests.support.signing import SigningClient
from tests.support.world import REDIRECT_URI, World, answer_of
from tests.test_client_assertions import reason_of
from tests.test_client_documents_keys import JWKS_URI, MakeWorld, publish, signing, tokens_of


@pytest.fixture
async def world(make_world: MakeWorld, internet: Internet) -> World:
    made = await make_world(egress=internet.egress())
    await made.create_user("alice")
    return made


async def test_cim_21_who_signed_when_it_was_allowed_cannot_refresh_without(
    world: World, internet: Internet
) -> None:
    """Otherwise whoever stole a refresh token, and got hold of the document, would need no key any more."""
    signer = signing()
    publish(internet, signer)
    tokens = await tokens_of(world, signer)
    code = await world.code(document())
    publish(internet, None)
    world.clock.advance(seconds=20)
    # The next reading is due, and someone comes to the authorization endpoint.
    await expire_document(world)
    assert (await ask(world)).status_code == 303

    await refused(world, world.redeem(document(), code), 400, "invalid_grant", without_effect=False)
    await refused(world, world.refresh(document(), tokens["refresh_token"]), 400, "invalid_grant")
    assert await reason_of(world) == "client_weakened"

    # It was refused, not revoked: with its keys back, the app goes on.
    publish(internet, signer)
    await expire_document(world)
    assert (await ask(world)).status_code == 303
    assert (
        await world.refresh(document(), tokens["refresh_token"], **signer.proof(world))
    ).status_code == 200
    # And what is allowed from now on, knowing that nobody signs, works without.
    publish(internet, None)
    await expire_document(world)
    assert (await world.tokens(document()))["refresh_token"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"client_name": "Other"}, id="name"),
        pytest.param({"redirect_uris": [REDIRECT_URI, "https://evil.example/cb"]}, id="redirect URIs"),
        pytest.param({"jwks": signing("other").jwks}, id="keys"),
        pytest.param({"jwks": None, "jwks_uri": JWKS_URI}, id="address of the keys"),
        pytest.param({"jwks": None, "token_endpoint_auth_method": "none"}, id="method"),
    ],
)
async def test_cim_21_a_question_about_an_older_description_can_no_longer_be_approved(
    world: World, internet: Internet, change: dict[str, Any]
) -> None:
    publish(internet, signing())
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, document())
    publish(internet, SigningClient(), **change)
    world.clock.advance(seconds=1)
    await expire_document(world)
    assert (await ask(world)).status_code == 303

    assert is_page(await world.decide(browser, parked.headers["location"]))

    assert (await world.counts())["grants"] == 0


async def test_cim_21_codes_never_go_to_a_new_address_without_a_new_consent(
    world: World, internet: Internet
) -> None:
    publish(internet, None)
    browser = await world.signed_in_browser()
    await world.tokens(document())
    evil = "https://evil.example/cb"
    publish(internet, None, redirect_uris=[evil])
    await expire_document(world)

    asked = await world.authorize(browser, document(), redirect_uri=evil)

    # Asked again, with the new host named; nothing goes there before the answer.
    assert asked.headers["location"].startswith("/consent/")
    page = await browser.get(asked.headers["location"])
    assert "evil.example" in page.text
    assert is_page(await world.authorize(browser, document())), "the old address is gone"
    decided = await world.decide(browser, asked.headers["location"], "deny")
    assert answer_of(decided.headers["location"])["error"] == "access_denied"


async def test_a_grant_keeps_what_the_client_was_when_it_was_allowed(
    world: World, internet: Internet
) -> None:
    publish(internet, None)
    await world.tokens(document())
    await world.tokens(document())
    publish(internet, None, client_name="Other")
    await expire_document(world)
    await world.tokens(document())

    snapshots = [
        row["s"]
        for row in await world.rows("SELECT client_snapshot AS s FROM grants ORDER BY created_at, id")
    ]
    assert len(set(snapshots)) == 2
    assert all(snapshot.startswith("none ") for snapshot in snapshots)


async def test_cim_21_what_was_allowed_to_another_description_is_not_held(
    world: World, internet: Internet
) -> None:
    """A step-up joins what was allowed before: not for whoever took the address over."""
    publish(internet, None)
    await world.tokens(document(), scope="mcp email")
    assert (await world.tokens(document(), scope="mcp profile"))["scope"] == "mcp profile email"
    publish(internet, None, redirect_uris=[REDIRECT_URI, "https://evil.example/cb"])
    world.clock.advance(seconds=1)
    await expire_document(world)

    assert (await world.tokens(document(), scope="mcp profile"))["scope"] == "mcp profile"


async def expire_document(world: World) -> None:
    """Let the document be read again at the next authorization."""
    async with world.database.transaction() as tx:
        await tx.connection.exec_driver_sql("UPDATE clients SET document_fresh_until = document_fetched_at")


async def test_cim_18_a_host_that_is_no_longer_allowed_is_not_asked_for_new_keys(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress())
    await world.create_user("alice")
    signer = signing()
    publish(internet, signer)
    refresh_token = (await tokens_of(world, signer))["refresh_token"]
    strict = await make_world(egress=internet.egress(), client_id_metadata_hosts=("other.example",))
    strict.clock.advance(days=2)

    answered = await strict.refresh(document(), refresh_token, **signer.proof(strict))

    assert answered.status_code == 200, answered.text
    assert len(internet.connections) == 1


async def test_where_there_is_no_place_known_keys_serve_and_unknown_ones_may_come_back(
    world: World, internet: Internet
) -> None:
    signer = signing()
    publish(internet, signer)
    refresh_token = (await tokens_of(world, signer))["refresh_token"]
    world.clock.advance(minutes=20)
    internet.gate = asyncio.Event()
    asking = [asyncio.create_task(ask(world, f"https://h{number}.example/c.json")) for number in range(4)]
    with anyio.fail_after(5):
        while len(internet.requests) < 5:
            await anyio.lowlevel.checkpoint()

    unknown = await world.refresh(document(), refresh_token, **signing("new").proof(world))
    world.clock.advance(seconds=11)
    known = await world.refresh(document(), refresh_token, **signer.proof(world))

    assert (unknown.status_code, known.status_code) == (503, 200), (unknown.text, known.text)
    internet.gate.set()
    await asyncio.gather(*asking)


async def test_the_memory_of_what_was_asked_lately_is_bounded(world: World, internet: Internet) -> None:
    publish(internet, signing())
    await ask(world)
    async with world.database.reading() as tx:
        client = await store.find_client(tx, URL)
    assert client is not None
    origin = Origin(world.clock.now() + timedelta(days=2), "cli")
    documents = world.services.client_documents

    for number in range(1001):
        # Not good addresses: remembered as tried, and nobody is asked.
        documents.renew_soon(replace(client, client_id=f"https://a.example#{number}"), origin)

    assert len(internet.lookups) == 1


async def test_cim_24_a_client_that_is_made_while_its_document_is_read_stays_as_it_is(
    world: World, internet: Internet
) -> None:
    publish(internet, None)
    internet.gate = asyncio.Event()
    asking = asyncio.create_task(ask(world))
    with anyio.fail_after(5):
        while not internet.requests:
            await anyio.lowlevel.checkpoint()
    await world.register(client_name="Made by hand")
    async with world.database.transaction() as tx:
        await tx.execute(
            sa.text("UPDATE clients SET client_id = :url, registration = 'manual'"), {"url": URL}
        )

    internet.gate.set()
    await asking

    assert [row["client_name"] for row in await world.rows("SELECT client_name FROM clients")] == [
        "Made by hand"
    ]
