"""Password hashing: argon2id through passlib, in a bounded pool of threads."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

from passlib.hash import argon2

from app.oauth.errors import TemporarilyUnavailable


@dataclass(frozen=True, slots=True)
class HashCost:
    """What one guess costs. Without arguments OWASP's parameters (m = 19 MiB, t = 2, p = 1), about 20 ms; raising
    them rehashes each password at the next sign-in."""

    memory_kib: int = 19 * 1024
    rounds: int = 2


_PARALLELISM = 1

# Beyond that, waiting takes longer than anyone waits: about two seconds a core.
_MOST_WAITING = 100

MINIMUM_LENGTH = 8  # ASVS 5.0 6.2.1
MAXIMUM_LENGTH = 1024  # hashing megabytes on request would be a gift to an attacker


class Passwords:
    """Hashes and verifies without holding up the event loop: at most one thread a core works at a time.

    Args:
        cost: what one guess costs.
        took: told the seconds that each took, in the thread that did it.
    """

    def __init__(self, cost: HashCost = HashCost(), took: Callable[[float], None] = lambda _: None) -> None:
        self._took = took
        self._scheme = _scheme(cost)
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="argon2")
        self.waiting = 0
        self._nobody = _hash_of_nobody(cost)

    async def hash(self, password: str) -> str:
        """The argon2id hash with a new salt."""
        return str(await self._run(self._scheme.hash, password))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password belongs to the hash; None stands for an unknown person and is always False."""
        if len(password) > MAXIMUM_LENGTH:
            return False
        matches = bool(await self._run(self._scheme.verify, password, password_hash or self._nobody))
        return matches and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with lower parameters than today's."""
        return bool(self._scheme.needs_update(password_hash))

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[..., object], *arguments: str) -> object:
        if self.waiting >= _MOST_WAITING:
            raise TemporarilyUnavailable("Too many people sign in at this moment; try again shortly.")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, self._timed, function, *arguments
            )
        finally:
            self.waiting -= 1

    def _timed(self, function: Callable[..., object], *arguments: str) -> object:
        began = perf_counter()
        try:
            return function(*arguments)
        finally:
            self._took(perf_counter() - began)


def _scheme(cost: HashCost) -> Any:
    return argon2.using(
        type="ID", memory_cost=cost.memory_kib, time_cost=cost.rounds, parallelism=_PARALLELISM
    )


@cache
def _hash_of_nobody(cost: HashCost) -> str:
    """Verified against when the name is unknown, so that the answer takes as long as for a known one."""
    return str(_scheme(cost).hash("nobody has this password"))
