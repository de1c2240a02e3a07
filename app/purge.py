"""Remove what serves nobody any more, in both halves of the database: small transactions, one after another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from app.accounts.housekeeping import LEFTOVERS as OF_PEOPLE
from app.audit import Origin, audit_events
from app.authorization_server import housekeeping
from app.authorization_server.policy import Policy
from app.clock import Clock
from app.database import Database, DatabaseUnavailable, Transaction, undisturbed
from app.leftovers import Leftovers
from app.tallies import tallies

log = logging.getLogger(__name__)
# Of the time that a round takes, at most this part is the database's work: the others wait for nothing.
_SHARE = 0.2

Step = Callable[[Transaction], Awaitable[int]]


def steps(policy: Policy, origin: Origin) -> Mapping[str, Step]:
    """What there is to do, by the name of what goes; each step removes one batch and tells how many that were."""

    def of(leftovers: Leftovers) -> Step:
        return lambda tx: leftovers.remove(tx, origin.now)

    return {
        **{leftovers.table.name: of(leftovers) for leftovers in (*housekeeping.LEFTOVERS, *OF_PEOPLE)},
        **{leftovers.table.name: of(leftovers) for leftovers in _old_events(policy)},
        "unused_clients": lambda tx: housekeeping.remove_unused_clients(tx, policy, origin),
        "unused_documents": lambda tx: housekeeping.remove_unused_documents(tx, origin),
    }


def _old_events(policy: Policy) -> tuple[Leftovers, ...]:
    lifetime = policy.audit_lifetime
    if not lifetime:
        return ()
    return (
        Leftovers(audit_events, lambda now: audit_events.c.at < now - lifetime),
        Leftovers(tallies, lambda now: tallies.c.hour < now - lifetime),
    )


async def purge(
    database: Database, policy: Policy, origin: Origin, most_batches: int | None = None
) -> dict[str, int]:
    """Remove it all, or at most so many batches of each kind; returns how many rows went, by kind."""
    removed: dict[str, int] = {}
    for name, step in steps(policy, origin).items():
        removed[name] = 0
        batches = 0
        while batches != most_batches:
            async with database.transaction() as tx:
                gone = await step(tx)
            if not gone:
                break
            removed[name] += gone
            batches += 1
    return removed


class Purging:
    """Purges by itself every few minutes; of all processes on one database, one at a time.

    Args:
        database, policy, clock: whose leftovers, what keeps how long, and what time it is.
        every: seconds between two rounds.
        purged: told what each round that came to its end removed, by kind, and when that was in seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        policy: Policy,
        clock: Clock,
        every: float,
        purged: Callable[[Mapping[str, int], float], None] = lambda _removed, _at: None,
    ) -> None:
        self._purged = purged
        self._database = database
        self._policy = policy
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Begin a round every so often, until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            try:
                removed = await self.once()
            except DatabaseUnavailable:
                log.warning("Nothing was purged: the database can't be reached")
            except Exception:
                # Whatever it was, the next round begins.
                log.exception("The purge failed")
            else:
                self._purged(removed, self._clock.now().timestamp())
                if removed:
                    log.info("Purged %s", ", ".join(f"{n} {kind}" for kind, n in removed.items()))

    async def once(self) -> dict[str, int]:
        """One round: everything, slowly; returns how many rows went of what kind.

        It ends early where another process is at it.

        Raises:
            DatabaseUnavailable: what was removed until then stays removed.
        """
        removed: dict[str, int] = {}
        loop = asyncio.get_running_loop()
        for name, step in steps(self._policy, Origin(self._clock.now(), "purge")).items():
            gone: int | None = 1
            while gone:
                started = loop.time()
                gone = await undisturbed(self._batch(step))
                if gone is None:
                    return removed
                if gone:
                    removed[name] = removed.get(name, 0) + gone
                await asyncio.sleep((loop.time() - started) * (1 - _SHARE) / _SHARE)
        return removed

    async def _batch(self, step: Step) -> int | None:
        """Remove one batch; None when another process purges at this moment."""
        async with self._database.transaction() as tx:
            return await step(tx) if await tx.try_lock("purge") else None
