"""Where rate limits are counted: in this process, or in Redis or Valkey for all replicas together.

A store of limits that is away is no reason to be down: until it is back, each process counts for itself, as it does
without one. What was counted at one place is not carried over to the other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

_Answer = TypeVar("_Answer")

log = logging.getLogger(__name__)
_SECONDS = 0.5  # for an answer: who waits is a person who signs in


class Counting:
    """Counts in windows that begin with the first of what they count.

    Args:
        url: `redis://`, `rediss://` or the same with `valkey`; None to count in this process.
        ask_again_after: seconds for which a store that did not answer is left alone.
    """

    def __init__(self, url: str | None = None, ask_again_after: float = 5.0) -> None:
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = FixedWindowRateLimiter(_store_at(url)) if url else None
        self._ask_again_after = ask_again_after
        self._away_until = float("-inf")

    async def hit(self, item: RateLimitItem, *identifiers: str) -> bool:
        """Count one more; False when there were as many before."""
        return await self._ask(lambda limiter: limiter.hit(item, *identifiers))

    async def test(self, item: RateLimitItem, *identifiers: str) -> bool:
        """Whether one more would be let through; counts nothing."""
        return await self._ask(lambda limiter: limiter.test(item, *identifiers))

    async def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Begin anew."""
        await self._ask(lambda limiter: limiter.clear(item, *identifiers))

    async def take_back(self, item: RateLimitItem, *identifiers: str) -> None:
        """Uncount one."""
        key, window = item.key_for(*identifiers), item.get_expiry()
        await self._ask(lambda limiter: _storage_of(limiter).incr(key, window, amount=-1))

    async def close(self) -> None:
        """Close the connections."""
        if self._shared is not None:
            await _storage_of(self._shared).bridge.storage.aclose()

    async def _ask(self, question: Callable[[FixedWindowRateLimiter], Awaitable[_Answer]]) -> _Answer:
        now = asyncio.get_running_loop().time()
        if self._shared is not None and now >= self._away_until:
            try:
                return await question(self._shared)
            except StorageError as error:
                self._away_until = now + self._ask_again_after
                log.warning("Limits are counted by each process for itself: %s", error)
        return await question(self._own)


def _storage_of(limiter: FixedWindowRateLimiter) -> Any:
    return limiter.storage


def _store_at(url: str) -> RedisStorage:
    # Eight megabytes of every process that counts for itself would be this library's.
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    # Valkey speaks the same protocol, and one client is enough.
    address = "redis" + url.removeprefix("redis").removeprefix("valkey")
    options: dict[str, Any] = {
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    return RedisStorage(
        f"async+{address}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="ostiary",
        **options,
    )
