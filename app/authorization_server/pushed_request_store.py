"""Statements about pushed authorization requests."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from app.authorization_server.records import PushedRequest
from app.authorization_server.tables import pushed_requests
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of


async def add(tx: Transaction, pushed: PushedRequest) -> None:
    """Store what a client pushed."""
    await tx.execute(pushed_requests.insert(), values_of(pushed))


async def find(
    tx: Transaction, handle_hashes: Collection[TokenHash], client_id: str, now: datetime
) -> PushedRequest | None:
    """What this client pushed under one of these hashes, if it can still be used."""
    statement = sa.select(pushed_requests).where(
        pushed_requests.c.handle_hash.in_(handle_hashes),
        pushed_requests.c.client_id == client_id,
        pushed_requests.c.expires_at > now,
    )
    row = (await tx.execute(statement)).one_or_none()
    return PushedRequest(**row._mapping) if row else None


async def spend(tx: Transaction, handle_hash: TokenHash, request_id: str, now: datetime) -> bool:
    """Let it become this authorization request; False when it became one already."""
    statement = (
        sa.update(pushed_requests)
        .where(pushed_requests.c.handle_hash == handle_hash, pushed_requests.c.spent_at.is_(None))
        .values(spent_at=now, request_id=request_id)
        .returning(pushed_requests.c.handle_hash)
    )
    return (await tx.execute(statement)).one_or_none() is not None


async def find_request_id(tx: Transaction, handle_hash: TokenHash) -> str:
    """The authorization request that a spent one became."""
    statement = sa.select(pushed_requests.c.request_id).where(pushed_requests.c.handle_hash == handle_hash)
    return str((await tx.execute(statement)).scalar_one())
