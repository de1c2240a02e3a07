"""What `/mcp` refuses to whom it knows stands on record, once an hour, under the reference that the answer carries."""

import pytest

from tests.support.world import World
from tests.test_admin_client import page_of, steps_of
from tests.working_pages import person

REFUSED = "SELECT * FROM audit_events WHERE event = 'refused /mcp' ORDER BY id"


async def test_a_refusal_of_a_revoked_grant_is_found_by_its_reference(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    await world.revoke(client, tokens["refresh_token"])

    answers = [await world.call(tokens["access_token"]) for _ in range(3)]

    (event,) = await world.rows(REFUSED)
    assert {answer.json()["error_reference"] for answer in answers} == {event["reference"]}
    assert {answer.headers["content-length"] for answer in answers} == {str(len(answers[0].content))}
    assert (event["outcome"], event["reason"], event["source"]) == ("invalid_token", "revoked", "203.0.113.7")
    assert event["client_id"] == client["client_id"]
    admin = await person(world, "carol", is_admin=True)
    found = await admin.get("/admin/clients", params={"q": event["reference"]})
    (step,) = [step for step in steps_of(await admin.get(found.headers["location"])) if "/mcp" in step]
    assert "invalid_token (revoked)" in step


async def test_the_same_refusal_is_written_again_after_an_hour(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client, scope="profile offline_access")
    first = (await world.call(tokens["access_token"])).json()
    assert first["error"] == "insufficient_scope"
    assert (await world.call(tokens["access_token"])).json() == first
    world.clock.advance(minutes=61)
    tokens = (await world.refresh(client, tokens["refresh_token"])).json()
    second = (await world.call(tokens["access_token"])).json()
    rows = await world.rows(REFUSED)
    assert [row["reference"] for row in rows] == [first["error_reference"], second["error_reference"]]
    assert rows[0]["reason"] == "needs mcp"


@pytest.mark.parametrize("token", [None, "x", "x.y.z"])
async def test_what_strangers_send_leaves_nothing(world: World, token: str | None) -> None:
    answer = await world.call(token)
    assert answer.status_code == 401
    assert "error_reference" not in answer.json()
    assert await world.rows(REFUSED) == []


async def test_a_token_that_ran_out_is_nothing_worth_telling(world: World) -> None:
    tokens = await world.tokens(await world.register())
    world.clock.advance(hours=2)
    assert (await world.call(tokens["access_token"])).status_code == 401
    assert await world.rows(REFUSED) == []


async def test_every_step_until_the_first_call_is_told(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    assert (await world.call(tokens["access_token"])).status_code == 200
    await world.app.state.grant_uses.write()
    admin = await person(world, "carol", is_admin=True)
    told = steps_of(await admin.get(page_of(client)))
    assert told[0].startswith("First call to the resource")
    assert "Person: alice" in told[0]
