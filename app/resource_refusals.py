"""What the resources of this process refuse to people and apps that are known: on record, so that operators find it.

Only tokens that this server signed lead here, so strangers can't fill the table; and of one grant the same refusal is
written once an hour. In between its answers carry the reference of the event that stands there already.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.audit import Origin, record
from app.clock import Clock
from app.database import Database, DatabaseUnavailable
from app.oauth.credentials import mint_reference
from app.resource_server.middleware import Denial

ONCE_IN = timedelta(hours=1)
MOST_REMEMBERED = 10_000
# What comes again and again by design: the client tries once more with the nonce.
_BY_DESIGN = "use_dpop_nonce"


@dataclass(frozen=True, slots=True)
class _Noted:
    until: datetime
    reference: str


class ResourceRefusals:
    """Writes refusals at one path."""

    def __init__(self, database: Database, clock: Clock, path: str) -> None:
        self._database = database
        self._clock = clock
        self._path = path
        self._noted: OrderedDict[tuple[str, str, str], _Noted] = OrderedDict()

    async def note(self, denial: Denial) -> str | None:
        """Put a refusal on record unless it stands there; the reference, or None where it could not be written."""
        principal, now = denial.principal, self._clock.now()
        if principal.grant_id is None or denial.error == _BY_DESIGN:
            return None
        key = (principal.grant_id, denial.error, denial.reason)
        noted = self._noted.get(key)
        if noted is not None and now < noted.until:
            return noted.reference
        reference = mint_reference()
        # Before it is written: of many at once one is enough.
        self._noted[key] = _Noted(now + ONCE_IN, reference)
        if len(self._noted) > MOST_REMEMBERED:
            self._noted.popitem(last=False)
        try:
            async with self._database.transaction() as tx:
                await record(
                    tx,
                    f"refused {self._path}",
                    Origin(now, denial.source),
                    outcome=denial.error,
                    reason=denial.reason,
                    user_id=principal.user.id if principal.user else None,
                    client_id=principal.client_id,
                    grant_id=principal.grant_id,
                    reference=reference,
                )
        except DatabaseUnavailable:
            self._noted.pop(key, None)
            return None
        return reference
