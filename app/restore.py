"""After a backup was put back: end everything that was allowed before an instant (the kill switch).

What happened between the backup and now is not known any more: who was disconnected since would be connected again, who
signed out would be signed in, and links that were used could be used once more.
"""

from dataclasses import dataclass
from datetime import datetime

from app.accounts import rights
from app.audit import Origin, record
from app.authorization_server import revocation
from app.authorization_server.policy import Policy
from app.database import Transaction


@dataclass(frozen=True, slots=True)
class Ended:
    """How much came to its end."""

    grants: int
    sessions: int
    links: int


async def end_before(tx: Transaction, policy: Policy, instant: datetime, origin: Origin) -> Ended:
    """Revoke every grant, end every session and withdraw every link that was made before an instant.

    Access tokens that were issued after the backup for grants that it does not know live until they expire; a rotation
    of the signing keys that distrusts the present ones ends them at once.
    """
    ended = Ended(
        await revocation.revoke_before(tx, policy, instant, "revoked_before", origin),
        *await rights.end_before(tx, instant),
    )
    await record(tx, "server.ended_before", origin, reason=instant.isoformat(timespec="seconds"))
    return ended
