"""Letters on their way: sent after what they tell is committed, and put on record, whether they went out or not."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from app.audit import Origin, record
from app.database import Database
from app.mail import Letter, Mailer, NotSent

log = logging.getLogger(__name__)
# Letters that people ask for wait in memory, and beyond that are asked for again. Few are written at once: each takes a
# connection of the database, of which there are few too.
_MOST_WAITING = 200
_AT_ONCE = 4
_LAST_SECONDS = 10.0


class Dispatch:
    """Sends letters and remembers that it did."""

    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def deliver(self, letter: Letter, user_id: str, origin: Origin) -> None:
        """Send a letter to someone; never inside a transaction, and only once what it tells is committed.

        Raises:
            NotSent: it is on record already.
        """
        try:
            await self._mailer.send(letter, origin.now)
        except NotSent as error:
            log.warning("A letter was not sent: %s", error)
            async with self._database.transaction() as tx:
                await record(
                    tx, "mail.refused", origin, outcome="not_sent", reason=error.reason, user_id=user_id
                )
            raise
        async with self._database.transaction() as tx:
            await record(tx, "mail.sent", origin, user_id=user_id)

    def begin(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do something beside the answer to a request; False, and nothing is done, where too much waits already."""
        if len(self._tasks) >= _MOST_WAITING:
            return False
        task = asyncio.create_task(self._watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def settled(self) -> None:
        """Wait until everything that was begun is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give what is on its way a few seconds more."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            async with self._places:
                await work()
        except NotSent:
            # On record already; nobody waits for it.
            return
        except Exception:
            log.exception("A letter could not be written")
