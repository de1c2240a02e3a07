"""Which grants call the resources of this process: remembered in memory, written a few seconds later.

A call costs a look-up in a dictionary, and never fails or waits for the database; while that is away, as much is kept
as memory allows. A grant is written once a minute at most.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from app.authorization_server.grant_uses import Use, write_uses
from app.clock import Clock
from app.database import Database, DatabaseUnavailable
from app.written_later import WrittenLater

EXACT_TO = timedelta(minutes=1)
_AT_ONCE = 200  # grants a transaction
MOST_KEPT = 20_000


class GrantUses(WrittenLater):
    """What this process knows of the use of grants and has not written yet."""

    what = "uses of grants"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        # When a grant was noted last. What is noted is waiting, or was written less than a minute ago.
        self._noted: dict[str, datetime] = {}
        self._waiting: dict[str, Use] = {}
        # Left out once because somebody held them: they are tried once more.
        self._again: frozenset[str] = frozenset()

    def note(self, grant_id: str, source: str) -> None:
        """A call with a token of this grant came from this address."""
        now, noted = self._clock.now(), self._noted.get(grant_id)
        if noted is not None and now - noted < EXACT_TO:
            return
        waiting = self._waiting.get(grant_id)
        if waiting is None and len(self._waiting) >= MOST_KEPT:
            return
        self._noted[grant_id] = now
        first = now if waiting is None else waiting.first_at
        self._waiting[grant_id] = Use(grant_id, first, now, source)

    @property
    def waiting(self) -> int:
        """Of how many grants."""
        return len(self._waiting)

    async def write(self) -> None:
        """Write what waits. What can't be written now goes on waiting."""
        waiting, self._waiting = list(self._waiting.values()), {}
        left_out: list[Use] = []
        while waiting:
            batch, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            try:
                async with self._database.transaction() as tx:
                    written = frozenset(await write_uses(tx, batch))
            except DatabaseUnavailable:
                self._keep([*batch, *waiting])
                break
            except BaseException:
                self._keep([*batch, *waiting])
                raise
            left_out += [use for use in batch if use.grant_id not in written]
        self._keep(use for use in left_out if use.grant_id not in self._again)
        self._again = frozenset(use.grant_id for use in left_out)
        now = self._clock.now()
        self._noted = {key: noted for key, noted in self._noted.items() if now - noted < EXACT_TO}

    def _keep(self, uses: Iterable[Use]) -> None:
        """Put back what was not written, below what came meanwhile."""
        for use in uses:
            later = self._waiting.get(use.grant_id)
            if later is not None:
                self._waiting[use.grant_id] = replace(later, first_at=use.first_at)
            elif len(self._waiting) < MOST_KEPT:
                self._waiting[use.grant_id] = use
