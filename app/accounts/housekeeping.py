"""What of people's sessions and browsers serves nobody any more."""

from datetime import timedelta

import sqlalchemy as sa

from app.accounts.sign_in import IDLE
from app.accounts.tables import devices, sessions
from app.leftovers import Leftovers

# As long as the browser keeps the cookie.
_DEVICES_KEPT = timedelta(days=365)

LEFTOVERS = (
    Leftovers(
        sessions, lambda now: sa.or_(sessions.c.expires_at < now, sessions.c.last_seen_at < now - IDLE)
    ),
    Leftovers(devices, lambda now: devices.c.last_sign_in_at < now - _DEVICES_KEPT),
)
