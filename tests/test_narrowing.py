"""A person takes back a part of what an app may do: what that does to everything that hangs on the grant. LGN-14."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from app.audit import Origin
from app.authorization_server import revocation
from app.authorization_server.narrowing import NothingLeft, narrow
from tests.support.world import World, answer_of

Client = Mapping[str, Any]
PAGE = "198.51.100.9"


async def _take(world: World, client: Client, *taken: str) -> bool:
    """What the page does."""
    (user,) = await world.rows("SELECT id FROM users WHERE username = 'alice'")
    origin = Origin(world.clock.now(), PAGE)
    async with world.database.transaction(commit_on=(NothingLeft,)) as tx:
        resource = world.settings.resource
        return await narrow(
            tx, world.services.policy, user["id"], client["client_id"], resource, taken, origin
        )


async def _grant(world: World) -> Mapping[str, Any]:
    (row,) = await world.rows("SELECT * FROM grants")
    return row


async def test_the_access_token_with_more_is_dead_on_the_next_call_and_the_refreshed_one_has_less(
    world: World,
) -> None:
    client, other = await world.register(), await world.register(client_name="Other")
    tokens, others = await world.tokens(client), await world.tokens(other)
    assert (await world.call(tokens["access_token"])).status_code == 200

    assert await _take(world, client, "email", "no-such-scope")

    answer = await world.call(tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    assert refreshed["scope"] == "mcp profile offline_access"
    assert (await world.call(refreshed["access_token"])).status_code == 200
    assert (await world.call(others["access_token"])).status_code == 200
    again = await world.refresh(client, refreshed["refresh_token"])
    assert again.json()["scope"] == "mcp profile offline_access"


async def test_each_time_the_tokens_before_it_die(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    alive = tokens["access_token"]
    for taken in ("email", "profile"):
        assert await _take(world, client, taken)
        assert (await world.call(alive)).status_code == 401
        tokens = (await world.refresh(client, tokens["refresh_token"])).json()
        alive = tokens["access_token"]
        assert (await world.call(alive)).status_code == 200
    assert tokens["scope"] == "mcp offline_access"
    assert (await _grant(world))["taken_back"] == "email profile"


async def test_every_endpoint_refuses_the_token_with_more(world: World) -> None:
    client = await world.register(scope="openid mcp email")
    tokens = await world.tokens(client, scope="openid mcp email profile")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await world.http.get("/oauth/userinfo", headers=headers)).status_code == 200

    assert await _take(world, client, "email")

    assert (await world.http.get("/oauth/userinfo", headers=headers)).status_code == 401
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    headers = {"authorization": f"Bearer {refreshed['access_token']}"}
    answer = await world.http.get("/oauth/userinfo", headers=headers)
    assert answer.status_code == 200
    assert "email" not in answer.json()


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        pytest.param("mcp profile email offline_access", "mcp profile offline_access", id="all of it"),
        pytest.param("mcp email", "mcp", id="some of it"),
        pytest.param("email", "invalid_scope", id="only what was taken back"),
        pytest.param("mcp admin", "invalid_scope", id="what was never granted"),
    ],
)
async def test_who_asks_for_what_was_once_granted_gets_what_is_left_of_it(
    world: World, asked: str, answer: str
) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    await _take(world, client, "email")
    refreshed = (await world.refresh(client, tokens["refresh_token"], scope=asked)).json()
    assert (refreshed.get("scope") or refreshed["error"]) == answer


async def test_a_retry_of_a_refresh_from_before_gets_the_same_successor(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    lost = (await world.refresh(client, tokens["refresh_token"])).json()
    await _take(world, client, "email")
    found = (await world.refresh(client, tokens["refresh_token"])).json()
    assert found["refresh_token"] == lost["refresh_token"]
    assert found["scope"] == "mcp profile offline_access"
    assert (await world.call(lost["access_token"])).status_code == 401


async def test_a_code_that_waits_opens_what_is_left(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    await _take(world, client, "email")
    tokens = (await world.redeem(client, code)).json()
    assert tokens["scope"] == "mcp profile offline_access"
    assert (await world.call(tokens["access_token"])).status_code == 200


async def test_more_comes_back_through_the_question_alone(world: World) -> None:
    client = await world.register()
    await world.tokens(client)
    await _take(world, client, "email")
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client, scope="email")
    page = await browser.get(parked.headers["location"])
    assert "See your e-mail address" in page.text
    answer = await world.decide(browser, parked.headers["location"])
    code = answer_of(answer.headers["location"])["code"]
    assert "email" in (await world.redeem(client, code)).json()["scope"].split()


async def test_without_staying_what_it_holds_works_to_its_end(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    retried = (await world.refresh(client, tokens["refresh_token"])).json()

    assert await _take(world, client, "offline_access")

    assert (await world.call(retried["access_token"])).status_code == 200
    for token in (tokens["refresh_token"], retried["refresh_token"]):
        answer = await world.refresh(client, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    # That was no theft: what it holds still works.
    assert (await world.call(retried["access_token"])).status_code == 200
    async with world.database.reading() as tx:
        ends = (await tx.execute(sa.text("SELECT count(*) FROM grants WHERE revoked_at IS NULL"))).scalar()
    assert ends == 1
    world.clock.advance(minutes=16)
    assert (await world.call(retried["access_token"])).status_code == 401
    assert not await _take(world, client, "email")  # the grant is over


async def test_a_code_that_waits_gets_no_refresh_token_then(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    await _take(world, client, "offline_access")
    assert "refresh_token" not in (await world.redeem(client, code)).json()


async def test_every_grant_of_the_app_is_narrowed(world: World) -> None:
    client = await world.register()
    tokens = [await world.tokens(client) for _ in range(3)]
    await _take(world, client, "email")
    for each in tokens:
        assert (await world.call(each["access_token"])).status_code == 401
        refreshed = await world.refresh(client, each["refresh_token"])
        assert refreshed.json()["scope"] == "mcp profile offline_access"
    events = await world.rows("SELECT * FROM audit_events WHERE event = 'grant.narrowed'")
    assert [(event["reason"], event["source"]) for event in events] == [("email", PAGE)] * 3


async def test_a_grant_of_which_nothing_is_left_is_revoked(world: World) -> None:
    client = await world.register()
    small, large = await world.tokens(client, scope="profile"), await world.tokens(client, scope="mcp email")
    # The second question was about both; the first grant has one permission only.
    assert await _take(world, client, "profile")
    rows = await world.rows("SELECT scope, revoked_because FROM grants ORDER BY scope")
    assert [(row["scope"], row["revoked_because"]) for row in rows] == [
        ("mcp email", None),
        ("profile", "person"),
    ]
    assert (await world.refresh(client, small["refresh_token"])).status_code == 400
    assert (await world.refresh(client, large["refresh_token"])).status_code == 200


async def test_nothing_is_changed_where_nothing_would_be_left(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    with pytest.raises(NothingLeft):
        await _take(world, client, "mcp", "profile", "email")
    assert (await world.call(tokens["access_token"])).status_code == 200
    assert not await _take(world, client, "no-such-scope")
    assert not await _take(world, {"client_id": "nobody"}, "email")
    assert (await world.call(tokens["access_token"])).status_code == 200


async def test_what_is_revoked_stays_revoked(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    await _take(world, client, "email")
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    grant = await _grant(world)
    async with world.database.transaction() as tx:
        origin = Origin(world.clock.now(), PAGE)
        await revocation.revoke_app(
            tx, world.services.policy, grant["user_id"], client["client_id"], "person", origin
        )
    assert (await world.call(refreshed["access_token"])).status_code == 401
    assert (await world.refresh(client, refreshed["refresh_token"])).status_code == 400


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
@pytest.mark.parametrize("round_", range(5))
async def test_twenty_at_once_of_refreshing_and_narrowing_leave_no_token_with_more(
    world: World, round_: int
) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    takes = [_take(world, client, "email" if number % 2 else "profile") for number in range(4)]
    refreshes = [world.refresh(client, tokens["refresh_token"]) for _ in range(16)]
    mixed: list[Any] = [*refreshes[:5], takes[0], *refreshes[5:9], *takes[1:3], *refreshes[9:], takes[3]]
    answers = [answer for answer in await asyncio.gather(*mixed) if not isinstance(answer, bool)]
    # The family lives: everyone got the one successor, whatever its order.
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    for answer in answers:
        with_more = answer.json()["scope"] != "mcp offline_access"
        assert (await world.call(answer.json()["access_token"])).status_code == (401 if with_more else 200)
    last = await world.refresh(client, answers[0].json()["refresh_token"])
    assert last.json()["scope"] == "mcp offline_access"
    assert (await world.call(last.json()["access_token"])).status_code == 200


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
async def test_a_refresh_that_waits_for_the_narrowing_issues_what_is_left(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    (user,) = await world.rows("SELECT id FROM users WHERE username = 'alice'")
    origin = Origin(world.clock.now(), PAGE)
    async with world.database.transaction() as tx:
        where = (world.services.policy, user["id"], client["client_id"], world.settings.resource)
        assert await narrow(tx, *where, ["email"], origin)
        waiting = asyncio.create_task(world.refresh(client, tokens["refresh_token"]))
        async with asyncio.timeout(10):
            while not await world.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    refreshed = (await waiting).json()
    assert refreshed["scope"] == "mcp profile offline_access"
    assert (await world.call(refreshed["access_token"])).status_code == 200


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
async def test_twenty_at_once_of_narrowing_disconnecting_and_refreshing_end_disconnected(
    world: World,
) -> None:
    client = await world.register()
    tokens = [await world.tokens(client) for _ in range(4)]
    (user,) = await world.rows("SELECT id FROM users WHERE username = 'alice'")

    async def disconnect() -> None:
        async with world.database.transaction() as tx:
            origin = Origin(world.clock.now(), PAGE)
            await revocation.revoke_app(
                tx, world.services.policy, user["id"], client["client_id"], "person", origin
            )

    await asyncio.gather(
        *(_take(world, client, "email", "offline_access") for _ in range(6)),
        *(world.refresh(client, each["refresh_token"]) for each in tokens for _ in range(3)),
        *(disconnect() for _ in range(2)),
    )
    rows = await world.rows("SELECT revoked_because FROM grants")
    assert [row["revoked_because"] for row in rows] == ["person"] * 4
    for each in tokens:
        assert (await world.refresh(client, each["refresh_token"])).status_code == 400
        assert (await world.call(each["access_token"])).status_code == 401
