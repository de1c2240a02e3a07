"""Signing keys are rotated: published first, signing later, verifying on; or distrusted at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.audit import Origin
from app.authorization_server import keys
from app.database import Database
from app.oauth import jwt
from app.oauth.credentials import Keys
from tests.command_line import assert_refused, command_line
from tests.front_channel import assert_html, change
from tests.support.world import World
from tests.working_pages import form_to, person, press

MakeWorld = Callable[..., Awaitable[World]]
KEYS, ROTATE = "/admin/keys", "/admin/keys/rotate"


async def published(world: World) -> list[str]:
    """The ids of the keys that anyone may see."""
    return [key["kid"] for key in (await world.http.get("/.well-known/jwks.json")).json()["keys"]]


async def learned(world: World, number: int) -> list[str]:
    """The ids, once this process knows so many."""
    for _ in range(500):
        if len(found := await published(world)) == number:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"there are {len(found)} keys")


async def forgotten(world: World, kid: str) -> list[str]:
    """The ids, once this process publishes that one no more."""
    for _ in range(500):
        if kid not in (found := await published(world)):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("the key is still published")


def signed_with(token: str) -> str:
    """The id of the key of an access token of ours."""
    return jwt.read_unverified(token, [jwt.ACCESS_TOKEN_TYPE], [jwt.ALGORITHM]).kid or ""


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_verifies_on(world: World) -> None:
    client = await world.register()
    admin = await person(world, "carol", is_admin=True)
    (old,) = await published(world)
    before = await world.tokens(client)

    answer = await press(admin, KEYS, ROTATE, distrust="no")

    assert answer.headers["location"] == KEYS
    (new,) = set(await learned(world, 2)) - {old}
    waiting = await world.refresh(client, before["refresh_token"])
    assert signed_with(waiting.json()["access_token"]) == old

    world.clock.advance(minutes=10)
    after = (await world.refresh(client, waiting.json()["refresh_token"])).json()
    assert signed_with(after["access_token"]) == new
    for token in (waiting.json()["access_token"], after["access_token"]):
        assert (await world.call(token)).status_code == 200
    events = await world.rows("SELECT * FROM audit_events WHERE event = 'signing_key.rotated'")
    assert [(event["reason"], event["actor_id"] is not None) for event in events] == [(new, True)]


async def test_a_key_that_leaked_is_worth_nothing_at_once(world: World) -> None:
    client = await world.register()
    admin = await person(world, "carol", is_admin=True)
    (old,) = await published(world)
    tokens = await world.tokens(client)

    await press(admin, KEYS, ROTATE, distrust="yes")

    found = await forgotten(world, old)
    assert (await world.call(tokens["access_token"])).status_code == 401
    # Refresh tokens are not signed: the app goes on without asking anyone.
    renewed = (await world.refresh(client, tokens["refresh_token"])).json()
    assert signed_with(renewed["access_token"]) == found[0]
    assert (await world.call(renewed["access_token"])).status_code == 200


async def test_one_rotation_at_a_time(world: World) -> None:
    admin = await person(world, "carol", is_admin=True)
    form = form_to((await admin.get(KEYS)).text, ROTATE, distrust="no")
    data = {**form.fields, "distrust": "no"}
    assert (await admin.post(ROTATE, data=data)).status_code == 303
    assert_html(await admin.post(ROTATE, data=data), 409)
    with pytest.raises(AssertionError, match="no form"):
        form_to((await admin.get(KEYS)).text, ROTATE, distrust="no")
    assert len(await world.rows("SELECT kid FROM signing_keys")) == 2


async def test_what_is_over_is_published_no_more(world: World) -> None:
    admin = await person(world, "carol", is_admin=True)
    (old,) = await published(world)
    await press(admin, KEYS, ROTATE, distrust="no")
    await learned(world, 2)
    world.clock.advance(days=1, minutes=11)
    await press(await world.signed_in_browser("carol"), KEYS, ROTATE, distrust="no")
    await forgotten(world, old)


async def test_the_command_rotates_and_tells_what_each_key_does(world: World, tmp_path: Path) -> None:
    cli = command_line(world.settings.database_url, tmp_path)
    (old,) = [row["kid"] for row in (await cli.quickly("keys", "list", "--json")).data]

    made = (await cli.quickly("keys", "rotate", "--after", "3600", "--json")).data

    listed = {row["kid"]: row["state"] for row in (await cli.quickly("keys", "list", "--json")).data}
    assert listed == {old: "signing", made["kid"]: "waiting"}
    assert_refused(await cli.quickly("keys", "rotate"), "already")
    distrusted = (await cli.quickly("keys", "rotate", "--distrust", "--json")).data
    listed = {row["kid"]: row["state"] for row in (await cli.quickly("keys", "list", "--json")).data}
    assert listed == {old: "over", made["kid"]: "over", distrusted["kid"]: "signing"}
    assert "private" not in json.dumps(distrusted)


async def test_the_page_tells_what_each_key_does(world: World) -> None:
    admin, auditor = await person(world, "carol", is_admin=True), await person(world, "dave", is_auditor=True)
    await press(admin, KEYS, ROTATE, distrust="no")
    world.clock.advance(minutes=11)
    page = (await auditor.get(KEYS)).text
    assert "verifying" in page
    assert "signing" in page
    assert ROTATE not in page
    (row,) = await world.rows("SELECT private_jwk_sealed AS sealed FROM signing_keys LIMIT 1")
    assert row["sealed"] not in page


async def test_a_key_from_before_there_was_a_rotation_signs(world: World) -> None:
    await change(world, "UPDATE signing_keys SET signs_from = NULL")
    admin = await person(world, "carol", is_admin=True)
    assert "signing" in (await admin.get(KEYS)).text


async def test_a_clock_that_is_behind_signs_with_the_only_key(world: World) -> None:
    world.clock.advance(hours=-1)
    held = world.services.signing_keys
    assert held.signing_at(world.clock.now()).kid in held.verification


async def test_keys_are_read_again_without_news_and_survive_an_outage(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.authorization_server.keys._READ_AGAIN_EVERY", timedelta(milliseconds=5))
    held, services = world.services.signing_keys, world.services
    before = dict(held.verification)
    wrong = Keys("another secret key of the tests, as long")
    task = asyncio.create_task(keys.follow(held, services.database, wrong, world.clock, asyncio.Event()))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if told := "could not be read again" in caplog.text:
            break
    assert told
    assert held.verification == before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    task = asyncio.create_task(
        keys.follow(held, services.database, services.keys, world.clock, asyncio.Event())
    )
    # Behind the back of every process, as another replica does it whose news were missed.
    other = Database(world.settings.database_url)
    async with other.transaction() as tx:
        await keys.rotate(tx, services.keys, Origin(world.clock.now(), "test"))
    await other.close()
    assert len(await learned(world, 2)) == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_no_trouble_of_the_database_stops_the_reading(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As while a backup is put back: the table is not there for a moment."""
    monkeypatch.setattr("app.authorization_server.keys._READ_AGAIN_EVERY", timedelta(milliseconds=5))
    held, services = world.services.signing_keys, world.services

    async def rename(one: str, other: str) -> None:
        async with services.database.transaction() as tx:
            await tx.execute(sa.text(f"ALTER TABLE {one} RENAME TO {other}"))

    await rename("signing_keys", "signing_keys_away")
    task = asyncio.create_task(
        keys.follow(held, services.database, services.keys, world.clock, asyncio.Event())
    )
    for _ in range(500):
        await asyncio.sleep(0.01)
        if told := "could not be read again" in caplog.text:
            break
    assert told
    await rename("signing_keys_away", "signing_keys")
    other = Database(world.settings.database_url)
    async with other.transaction() as tx:
        await keys.rotate(tx, services.keys, Origin(world.clock.now(), "test"))
    await other.close()
    assert len(await learned(world, 2)) == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# ------------------------------------------------------------------------------------------ by itself
async def read_again(world: World) -> None:
    """Let this process read its keys again."""
    before = world.services.signing_keys.verification
    for wake in world.database.listeners[keys.KEYS_CHANNEL]:
        wake(None)
    for _ in range(500):
        if world.services.signing_keys.verification is not before:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the keys were not read")


async def test_a_key_that_has_signed_long_enough_is_rotated_by_itself(make_world: MakeWorld) -> None:
    world = await make_world(signing_key_days=30)
    await world.create_user("alice")
    client = await world.register()
    (old,) = await published(world)
    world.clock.advance(days=29, hours=23)
    await read_again(world)
    assert await published(world) == [old]

    world.clock.advance(hours=1)
    await read_again(world)

    # Announced first; then it signs, and what the old one signed goes on.
    (new,) = set(await learned(world, 2)) - {old}
    before = await world.tokens(client)
    assert signed_with(before["access_token"]) == old
    world.clock.advance(seconds=keys.PUBLISHED_AHEAD.total_seconds())
    assert signed_with((await world.tokens(client))["access_token"]) == new
    assert (await world.call(before["access_token"])).status_code == 200
    [event] = await world.rows("SELECT * FROM audit_events WHERE event = 'signing_key.rotated'")
    assert (event["reason"], event["source"], event["actor_id"]) == (new, "rotation", None)


async def test_many_processes_that_find_a_key_too_old_make_one(world: World) -> None:
    services, lifetime = world.services, timedelta(days=30)
    world.clock.advance(days=31)
    now = world.clock.now()
    await asyncio.gather(
        *(keys._rotate_when_due(services.database, services.keys, now, lifetime) for _ in range(20))
    )
    assert len(await world.rows("SELECT kid FROM signing_keys")) == 2
    assert len(await world.rows("SELECT id FROM audit_events WHERE event = 'signing_key.rotated'")) == 1


async def test_without_a_lifetime_a_key_signs_until_somebody_rotates_it(make_world: MakeWorld) -> None:
    world = await make_world(signing_key_days=0)
    (old,) = await published(world)
    world.clock.advance(days=3650)
    await read_again(world)
    await read_again(world)
    assert await published(world) == [old]
