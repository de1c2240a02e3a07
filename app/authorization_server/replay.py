"""What may be presented once: the `jti` of proofs and assertions, remembered for every replica until it is too old."""

import hashlib
from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite

from app.authorization_server.tables import used_identifiers
from app.database import Transaction

PROOFS = "dpop"


async def spend_identifier(tx: Transaction, kind: str, identifier: str, expires_at: datetime) -> bool:
    """Remember an identifier; False when it was presented before, to whichever replica.

    Args:
        kind: what it identifies: `dpop`, `assertion` or `id-jag`.
        identifier: unique within its kind, so together with who chose it: key or issuer, and `jti`.
        expires_at: from when on what carries it is refused as too old anyway.
    """
    insert = postgresql.insert if tx.connection.dialect.name == "postgresql" else sqlite.insert
    row = {
        "kind": kind,
        # Of one length, whatever a stranger sends; it is no secret.
        "identifier_hash": hashlib.sha256(identifier.encode()).hexdigest(),
        "expires_at": expires_at,
    }
    statement = (
        insert(used_identifiers).values(row).on_conflict_do_nothing().returning(used_identifiers.c.kind)
    )
    return (await tx.execute(statement)).one_or_none() is not None
