"""Remove what serves nobody any more, in both halves of the database: small transactions, one after another."""

from collections.abc import Awaitable, Callable, Mapping

from app.accounts.housekeeping import LEFTOVERS as OF_PEOPLE
from app.audit import Origin, audit_events
from app.authorization_server import housekeeping
from app.authorization_server.policy import Policy
from app.database import Database, Transaction
from app.leftovers import Leftovers
from app.tallies import tallies

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
