"""What of people's sessions and browsers serves nobody any more."""

from datetime import timedelta

import sqlalchemy as sa

from app.accounts.sign_in import IDLE
from app.accounts.tables import (
    account_links,
    devices,
    passkey_challenges,
    pending_sign_ins,
    sessions,
    upstream_sign_ins,
)
from app.leftovers import Leftovers

# As long as the browser keeps the cookie.
_DEVICES_KEPT = timedelta(days=365)


def _expired(table: sa.Table) -> Leftovers:
    return Leftovers(table, lambda now: table.c.expires_at < now)


LEFTOVERS = (
    Leftovers(
        sessions, lambda now: sa.or_(sessions.c.expires_at < now, sessions.c.last_seen_at < now - IDLE)
    ),
    *(_expired(table) for table in (passkey_challenges, pending_sign_ins, upstream_sign_ins, account_links)),
    Leftovers(devices, lambda now: devices.c.last_sign_in_at < now - _DEVICES_KEPT),
)
