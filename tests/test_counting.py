"""Limits that replicas share through Redis or Valkey, and what happens while it is away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from limits import RateLimitItemPerMinute

from app.oauth.errors import TooManyRequests
from app.routers.counting import Counting
from app.routers.limits import Limits
from app.settings import InvalidSettings, load_settings
from tests.support.redis import MISSING, RedisServer, find_server, running_redis

TWO = RateLimitItemPerMinute(2, namespace="test")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server of this test's own."""
    program = find_server()
    if program is None:
        pytest.skip(MISSING)
    with running_redis(program) as server:
        yield server


@asynccontextmanager
async def replicas(url: str | None, number: int = 2, **options: Any) -> AsyncIterator[list[Counting]]:
    """As many processes would count."""
    async with AsyncExitStack() as stack:
        made = [Counting(url, **options) for _ in range(number)]
        for each in made:
            stack.push_async_callback(each.close)
        yield made


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
async def test_replicas_count_together(redis: RedisServer, scheme: str) -> None:
    async with replicas(redis.url.replace("redis", scheme)) as (one, other):
        assert [await one.hit(TWO, "a"), await other.hit(TWO, "a"), await one.hit(TWO, "a")] == [
            True,
            True,
            False,
        ]
        assert not await other.test(TWO, "a")
        assert await other.test(TWO, "b")


async def test_without_a_store_each_process_counts_for_itself() -> None:
    async with replicas(None) as (one, other):
        assert [await one.hit(TWO, "a") for _ in range(3)] == [True, True, False]
        assert await other.hit(TWO, "a")


@pytest.mark.parametrize("shared", [True, False])
async def test_what_was_counted_is_taken_back_and_forgotten(redis: RedisServer, shared: bool) -> None:
    async with replicas(redis.url if shared else None, 1) as (counting,):
        for _ in range(2):
            assert await counting.hit(TWO, "a")
        await counting.take_back(TWO, "a")
        assert await counting.hit(TWO, "a")
        assert not await counting.hit(TWO, "a")
        await counting.clear(TWO, "a")
        assert await counting.hit(TWO, "a")


async def test_twenty_at_once_on_two_replicas_are_counted_exactly(redis: RedisServer) -> None:
    item = RateLimitItemPerMinute(7, namespace="test")
    async with replicas(redis.url) as both:
        let_through = await asyncio.gather(*(both[n % 2].hit(item, "a") for n in range(20)))
    assert sum(let_through) == 7


async def test_while_the_store_is_away_each_process_counts_and_then_it_is_asked_again(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with replicas(redis.url, 1, ask_again_after=0.0) as (counting,):
        assert await counting.hit(TWO, "a")
        redis.kill()
        assert [await counting.hit(TWO, "a") for _ in range(3)] == [True, True, False]
        assert "Limits are counted by each process for itself" in caplog.text
        redis.start()
        assert await counting.hit(TWO, "a")


async def test_a_store_that_is_away_is_not_asked_for_each_request(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis.kill()
    async with replicas(redis.url, 1) as (counting,):
        for _ in range(50):
            await counting.hit(TWO, "a")
    assert caplog.text.count("Limits are counted by each process") == 1


async def test_guesses_at_one_replica_count_at_the_other(redis: RedisServer) -> None:
    """LGN-2: an attacker gains nothing by asking every replica."""
    async with replicas(redis.url) as (one, other):
        limits = [Limits(300, counting=one), Limits(300, counting=other)]
        tries = [await limits[n % 2].may_try_password("alice", "192.0.2.1", None) for n in range(12)]
        assert tries == [True] * 10 + [False] * 2
        for n in range(300):
            await limits[n % 2].count_registration("192.0.2.1")
        with pytest.raises(TooManyRequests):
            await limits[0].count_registration("192.0.2.1")


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "memcached://localhost"])
def test_other_stores_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LIMITS_URL", url)
    with pytest.raises(InvalidSettings, match=r"LIMITS_URL must start with redis://"):
        load_settings()


async def test_a_whole_application_counts_there(make_world: Callable[..., Any], redis: RedisServer) -> None:
    world = await make_world(limits_url=redis.url, registrations_per_minute=2)
    for _ in range(2):
        await world.register()
    refused = await world.http.post("/oauth/register", json={"redirect_uris": ["http://127.0.0.1/cb"]})
    assert refused.status_code == 429
    redis.kill()
    await world.register()
