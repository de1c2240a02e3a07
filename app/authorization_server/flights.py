"""Errands to addresses that strangers choose: one at a time for each address, few at all and few for one source."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from app.authorization_server.public_addresses import network_of
from app.oauth.errors import OAuthError

T = TypeVar("T")
_MOST = 32
_MOST_OF_ONE_SOURCE = 4

log = logging.getLogger(__name__)


class TooManyFetches(OAuthError):
    """As many documents as this server reads at once are being read."""

    error = "temporarily_unavailable"
    status = 503

    def __init__(self) -> None:
        super().__init__("Too many apps are being looked up now.", reason="document_busy", retry_after=5)


class Flights(Generic[T]):
    """What is being fetched now."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[T]] = {}
        self._sources: Counter[str] = Counter()

    def __contains__(self, url: str) -> bool:
        return url in self._tasks

    async def join(self, url: str, source: str | None, errand: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The outcome of the errand to this URL: of the one that is under way, or of a new one.

        Args:
            source: the address of whoever makes it necessary; None where nobody else chose the URL.

        Raises:
            TooManyFetches: a new one is needed, and there is no place.
        """
        # Someone who hangs up must not take the outcome from the others who wait for it.
        return await asyncio.shield(self._tasks.get(url) or self.start(url, source, errand))

    def start(
        self, url: str, source: str | None, errand: Callable[[], Coroutine[Any, Any, T]]
    ) -> asyncio.Task[T]:
        """Begin an errand to a URL to which none is under way.

        Raises:
            TooManyFetches: there is no place.
        """
        network = "" if source is None else network_of(source)
        if network and (len(self._tasks) >= _MOST or self._sources[network] >= _MOST_OF_ONE_SOURCE):
            raise TooManyFetches
        task = asyncio.create_task(errand())
        self._tasks[url] = task
        self._sources[network] += 1
        task.add_done_callback(lambda task: self._landed(task, url, network))
        return task

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, task: asyncio.Task[T], url: str, network: str) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.warning("The errand to %s failed: %s", url, type(task.exception()).__name__)
        del self._tasks[url]
        self._sources[network] -= 1
        if not self._sources[network]:
            del self._sources[network]
