"""What serves nobody any more: registrations without use, and the rows that time has overtaken."""

from datetime import timedelta

import sqlalchemy as sa

from app.audit import Origin, record_clients_deleted
from app.authorization_server import registration_store
from app.authorization_server.policy import Policy
from app.authorization_server.tables import (
    authorization_codes,
    authorization_requests,
    device_authorizations,
    grants,
    pushed_requests,
    refresh_tokens,
    revocations,
    used_identifiers,
)
from app.database import Transaction
from app.leftovers import Leftovers

# For how long something that is over is still told apart from something that never was.
_REMEMBERED = timedelta(days=1)
# For how long operators find what was allowed once.
_GRANTS_KEPT = timedelta(days=30)
_CLIENTS_AT_ONCE = 200

LEFTOVERS = (
    # A second redemption of a code takes its grant along; a day after the code ended nobody has a use for it.
    Leftovers(authorization_codes, lambda now: authorization_codes.c.expires_at < now - _REMEMBERED),
    # Anyone leaves such rows, so they go sooner.
    Leftovers(
        authorization_requests, lambda now: authorization_requests.c.expires_at < now - timedelta(hours=1)
    ),
    Leftovers(device_authorizations, lambda now: device_authorizations.c.expires_at < now - _REMEMBERED),
    Leftovers(pushed_requests, lambda now: pushed_requests.c.expires_at < now),
    Leftovers(used_identifiers, lambda now: used_identifiers.c.expires_at < now),
    # Spent ones too stay until then: used again, they tell of a theft.
    Leftovers(refresh_tokens, lambda now: refresh_tokens.c.expires_at < now - _REMEMBERED),
    Leftovers(revocations, lambda now: revocations.c.keep_until < now),
    # Few at once: their codes and tokens go with them.
    Leftovers(
        grants,
        lambda now: sa.or_(
            grants.c.expires_at < now - _GRANTS_KEPT, grants.c.revoked_at < now - _GRANTS_KEPT
        ),
        at_once=50,
    ),
)


async def remove_unused_clients(
    tx: Transaction, policy: Policy, origin: Origin, at_once: int = _CLIENTS_AT_ONCE
) -> int:
    """Remove registrations that nobody used in all the time they had; returns how many, at most one batch."""
    too_old = origin.now - policy.registration_unused_lifetime
    gone = await registration_store.delete_never_used(tx, too_old, origin.now, at_once)
    await record_clients_deleted(tx, origin, "never_used", gone)
    return len(gone)


async def remove_unused_documents(tx: Transaction, origin: Origin) -> int:
    """Forget clients whose document was read once and that nobody approved; returns how many, at most one batch."""
    read_before = origin.now - _REMEMBERED
    gone = await registration_store.delete_unused_documents(tx, read_before, origin.now, _CLIENTS_AT_ONCE)
    await record_clients_deleted(tx, origin, "never_used", gone)
    return len(gone)
