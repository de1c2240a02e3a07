"""The kill switch after a backup was put back. STO-6."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.audit import Origin
from app.restore import Ended, end_before
from tests.command_line import assert_refused, command_line
from tests.front_channel import assert_html
from tests.support.world import World
from tests.working_pages import person, press

PATH = "/admin/grants"


async def test_sto_6_what_was_made_before_ends_and_the_rest_stays(world: World) -> None:
    client = await world.register()
    old = await world.tokens(client)
    early = await world.signed_in_browser()
    world.clock.advance(minutes=5)
    instant = world.clock.now()
    new = await world.tokens(client)
    late = await world.signed_in_browser()
    assert (await world.call(old["access_token"])).status_code == 200

    async with world.database.transaction() as tx:
        ended = await end_before(tx, world.services.policy, instant, Origin(instant, "test"))

    assert ended == Ended(grants=1, sessions=2, links=0)
    assert (await world.call(old["access_token"])).status_code == 401
    assert (await world.refresh(client, old["refresh_token"])).status_code == 400
    assert (await world.call(new["access_token"])).status_code == 200
    assert (await world.refresh(client, new["refresh_token"])).status_code == 200
    assert (await early.get("/account")).status_code == 303
    assert (await late.get("/account")).status_code == 200
    rows = await world.rows(
        "SELECT event, reason FROM audit_events WHERE event LIKE '%ended%' OR event = 'grant.revoked'"
    )
    assert {(row["event"], row["reason"]) for row in rows} == {
        ("grant.revoked", "revoked_before"),
        ("server.ended_before", instant.isoformat(timespec="seconds")),
    }


async def test_links_from_before_are_good_for_nothing(world: World) -> None:
    admin = await person(world, "carol", is_admin=True)
    alice = await _id(world, "alice")
    page = await press(admin, f"/admin/users/user?id={alice}", "/admin/users/link", user_id=alice)
    assert "/link/ost_link_" in page.text
    world.clock.advance(minutes=1)
    now = world.clock.now()
    async with world.database.transaction() as tx:
        ended = await end_before(tx, world.services.policy, now, Origin(now, "test"))
    assert ended.links == 1
    [link] = await world.rows("SELECT * FROM account_links")
    assert link["expires_at"] == link["created_at"]


async def _id(world: World, username: str) -> str:
    rows = await world.rows("SELECT id, username FROM users")
    return next(str(row["id"]) for row in rows if row["username"] == username)


async def test_more_than_one_batch_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.authorization_server.revocation._AT_ONCE", 2)
    client = await world.register()
    for _ in range(5):
        await world.tokens(client)
    now = world.clock.now() + timedelta(seconds=1)
    async with world.database.transaction() as tx:
        ended = await end_before(tx, world.services.policy, now, Origin(now, "test"))
    assert ended.grants == 5


async def test_the_command_ends_it_all(world: World, tmp_path: Path) -> None:
    cli = command_line(world.settings.database_url, tmp_path)
    await world.tokens(await world.register())
    world.clock.advance(minutes=2)
    result = await cli.quickly(
        "grants", "revoke", "--before", f"{world.clock.now():%Y-%m-%dT%H:%M}", "--json"
    )
    assert result.data == {"grants": 1, "sessions": 1, "links": 0}
    assert (await cli.quickly("grants", "revoke", "--before", "yesterday")).code == 2


@pytest.mark.parametrize("arguments", [(), ("grant_1", "--before", "2026-01-01")])
async def test_the_command_takes_one_or_the_other(
    world: World, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    cli = command_line(world.settings.database_url, tmp_path)
    result = await cli.quickly("grants", "revoke", *arguments)
    assert (result.code, result.output) == (2, "")
    assert "--before" in result.error


async def test_the_page_ends_it_all_for_an_administrator(world: World) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    world.clock.advance(minutes=2)
    admin = await person(world, "carol", is_admin=True)
    typed = {"before": f"{world.clock.now():%Y-%m-%d %H:%M}"}
    answer = await press(admin, PATH, f"{PATH}/revoke-before", typed)
    assert answer.headers["location"] == PATH
    assert (await world.call(token)).status_code == 401
    # Signed in after it.
    assert (await admin.get(PATH)).status_code == 200


@pytest.mark.parametrize("typed", ["", "yesterday", "2026-11-23", "2026-02-30 12:00", "9999-99-99 99:99"])
async def test_a_moment_that_is_none_is_refused(world: World, typed: str) -> None:
    admin = await person(world, "carol", is_admin=True)
    assert_html(await press(admin, PATH, f"{PATH}/revoke-before", {"before": typed}), 409)


async def test_an_auditor_ends_nothing(world: World) -> None:
    auditor = await person(world, "dora", is_auditor=True)
    assert "revoke-before" not in (await auditor.get(PATH)).text


async def test_the_last_administrator_is_not_disabled_by_command(world: World, tmp_path: Path) -> None:
    await world.create_user("carol", is_admin=True)
    cli = command_line(world.settings.database_url, tmp_path)
    assert_refused(await cli.quickly("users", "disable", "carol"), "last one")
    await world.create_user("dave", is_admin=True)
    assert (await cli.quickly("users", "disable", "carol", "--json")).data["disabled_at"] is not None
