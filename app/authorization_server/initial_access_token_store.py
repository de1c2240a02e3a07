"""Statements about initial access tokens."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from app.authorization_server.records import InitialAccessToken
from app.authorization_server.tables import initial_access_tokens
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of


async def add(tx: Transaction, token: InitialAccessToken) -> None:
    """Store a new initial access token."""
    await tx.execute(initial_access_tokens.insert(), values_of(token))


async def get(tx: Transaction, token_id: str) -> InitialAccessToken | None:
    """The initial access token with this id."""
    statement = sa.select(initial_access_tokens).where(initial_access_tokens.c.id == token_id)
    row = (await tx.execute(statement)).one_or_none()
    return InitialAccessToken(**row._mapping) if row else None


async def find(tx: Transaction, hashes: Collection[TokenHash]) -> InitialAccessToken | None:
    """The initial access token with one of these hashes."""
    statement = sa.select(initial_access_tokens).where(initial_access_tokens.c.token_hash.in_(hashes))
    row = (await tx.execute(statement)).one_or_none()
    return InitialAccessToken(**row._mapping) if row else None


async def list_all(tx: Transaction) -> Sequence[InitialAccessToken]:
    """Every initial access token, the newest first."""
    table = initial_access_tokens
    rows = await tx.execute(sa.select(table).order_by(table.c.created_at.desc(), table.c.id))
    return [InitialAccessToken(**row._mapping) for row in rows]


async def spend(tx: Transaction, token_id: str, token_hash: TokenHash, now: datetime) -> bool:
    """Take one use from a token, and store its hash under the present SECRET_KEY; False when none is left."""
    table = initial_access_tokens
    statement = (
        sa.update(table)
        .where(
            table.c.id == token_id,
            table.c.revoked_at.is_(None),
            sa.or_(table.c.expires_at.is_(None), table.c.expires_at > now),
            sa.or_(table.c.uses_left.is_(None), table.c.uses_left > 0),
        )
        .values(uses_left=table.c.uses_left - 1, last_used_at=now, token_hash=token_hash)
        .returning(table.c.id)
    )
    return (await tx.execute(statement)).one_or_none() is not None


async def revoke(tx: Transaction, token_id: str, now: datetime) -> bool:
    """Take a token back; False when that was done before, or there is none."""
    table = initial_access_tokens
    statement = (
        sa.update(table)
        .where(table.c.id == token_id, table.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(table.c.id)
    )
    return (await tx.execute(statement)).one_or_none() is not None
