"""What Prometheus is told: counts that are right, gauges that are so now, and no label that a request chose."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.database import DatabaseUnavailable
from app.purge import Purging
from app.routers import metrics
from tests.metrics import Scrape, read_samples, scrape
from tests.support.world import World

MakeWorld = Callable[..., Any]


def more(before: Scrape, after: Scrape, name: str, **labels: str) -> float:
    """By how much a counter rose."""
    return after(name, **labels) - before(name, **labels)


async def test_a_flow_is_counted_step_by_step(world: World) -> None:
    before = await scrape(world)

    client = await world.register()
    tokens = await world.tokens(client)
    await world.refresh(client, tokens["refresh_token"])
    for _ in range(3):
        assert (await world.call(tokens["access_token"])).status_code == 200
    assert (await world.call("nonsense")).status_code == 401
    await world.redeem(client, "guessed")

    after = await scrape(world)
    assert more(before, after, "registrations_total", how="dynamic") == 1
    assert more(before, after, "tokens_total", grant_type="authorization_code") == 1
    assert more(before, after, "tokens_total", grant_type="refresh_token") == 1
    assert more(before, after, "calls_total", resource="/mcp") == 3
    assert more(before, after, "sign_ins_total", methods="pwd") == 1
    requests = {"method": "POST", "endpoint": "/mcp"}
    assert more(before, after, "requests_total", **requests, status="200") == 3
    assert more(before, after, "requests_total", **requests, status="401") == 1
    assert more(before, after, "request_seconds_count", endpoint="/mcp") == 4
    assert more(before, after, "request_seconds_bucket", endpoint="/mcp", le="+Inf") == 4
    assert more(before, after, "requests_total", endpoint="/oauth/token", status="200") == 2
    assert more(before, after, "refusals_total", endpoint="/oauth/token", error="invalid_grant") == 1
    assert more(before, after, "refusals_total", endpoint="/mcp", error="invalid_token") == 1
    # alice's sign-in; the fastest hash there is still takes its time.
    assert more(before, after, "password_hash_seconds_count") == 1
    assert more(before, after, "password_hash_seconds_sum") > 0


async def test_a_refusal_says_why(world: World) -> None:
    before = await scrape(world)
    assert (await world.sign_in(world.browser(), password="a wrong password")).status_code == 401
    after = await scrape(world)
    assert more(before, after, "refusals_total", endpoint="/login", error="wrong_password") == 1
    assert (await world.http.get("/oauth/userinfo")).status_code == 401
    assert more(after, await scrape(world), "refusals_total", error="invalid_token", reason="no_token") == 1


async def test_gauges_tell_how_it_is_now(world: World) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(world.database.reading())
        at_work = await scrape(world)
    idle = await scrape(world)
    # What follows the news in the background takes one or two.
    assert at_work("database_connections") >= 8 > idle("database_connections")
    assert idle("database_connections_limit") == world.settings.database_pool_size
    assert idle("requests_running") == 1  # the scrape itself
    assert idle("password_hashes_waiting") == 0
    now = world.clock.now().timestamp()
    assert now - 1 <= idle("revocations_read_timestamp_seconds") <= now
    assert idle("signing_key_since_timestamp_seconds") == now
    assert idle("build_info") == 1


async def test_what_is_not_written_yet_is_told(world: World) -> None:
    world.services.tallies.count("call", "/mcp")
    # At once: what waits is written every few seconds.
    world.app.state.gauges.look()
    assert Scrape(read_samples(metrics.exposition().decode()))("writes_waiting", what="counts") >= 1
    await world.services.tallies.write()
    assert (await scrape(world))("writes_waiting", what="counts") == 0


async def test_a_connection_that_is_waited_for_in_vain_is_counted(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world: World = await make_world(database_pool_size=1, purge_seconds=0)
    monkeypatch.setattr(world.database.engine.pool, "_timeout", 0.05)
    before = await scrape(world)
    async with world.database.reading():
        with pytest.raises(DatabaseUnavailable):
            async with world.database.reading():
                pass
    # What works in the background may have waited as well.
    assert more(before, await scrape(world), "database_connections_missed_total") >= 1


async def test_a_purge_is_told(world: World) -> None:
    await world.authorize(world.browser(), await world.register())
    world.clock.advance(days=400)
    before = await scrape(world)
    purging = Purging(world.database, world.services.policy, world.clock, 0, metrics.note_purge)
    removed = await purging.once()
    metrics.note_purge(removed, world.clock.now().timestamp())
    after = await scrape(world)
    assert more(before, after, "purged_rows_total", kind="authorization_requests") == 1
    assert after("purge_timestamp_seconds") == world.clock.now().timestamp()


async def test_no_label_comes_from_a_request(world: World) -> None:
    strange = "chosen-by-a-stranger"
    browser = world.browser()
    await browser.get(f"/{strange}?{strange}={strange}", headers={strange: strange, "user-agent": strange})
    await browser.request("BREW", f"/static/{strange}")
    await browser.get(f"/link/{strange}")
    await world.http.post("/oauth/token", data={"grant_type": strange, "client_id": strange})
    await world.http.post("/oauth/register", json={"redirect_uris": [strange], strange: strange})
    await world.call(strange, strange)
    await world.sign_in(browser, strange, strange)
    assert strange not in (await world.http.get("/metrics")).text


def test_reasons_that_a_hook_invents_have_an_end() -> None:
    known = set(metrics._reasons)
    for number in range(1000):
        metrics.count_refusal("test", "access_denied", f"invented {number}")
    text = metrics.exposition().decode()
    assert text.count('endpoint="test"') < 2 * 310  # each has a line for when it was made as well
    assert 'reason="other"' in text
    metrics._reasons.clear()
    metrics._reasons.update(known)
