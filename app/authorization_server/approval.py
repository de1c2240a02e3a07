"""An operator vouches for a client: people are told so, and it never goes by itself.

People are asked all the same: the operator knows the app, and not what each of them wants to give it. A client that
says something new about itself is no longer what the operator looked at.
"""

from app.audit import Origin, record
from app.authorization_server import store
from app.database import Transaction


async def approve_client(tx: Transaction, client_id: str, origin: Origin) -> None:
    """Vouch for a client."""
    if await store.set_client_approved(tx, client_id, origin.now):
        await record(tx, "client.approved", origin, client_id=client_id)


async def withdraw_approval(
    tx: Transaction, client_id: str, origin: Origin, because: str | None = None
) -> None:
    """Vouch for it no longer."""
    if await store.set_client_approved(tx, client_id, None):
        await record(tx, "client.approval_withdrawn", origin, reason=because, client_id=client_id)
