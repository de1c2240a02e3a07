"""Statements about devices that wait for someone to type their code."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.authorization_server.records import Decision, DeviceAuthorization
from app.authorization_server.tables import device_authorizations
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of

_table = device_authorizations


async def add_authorization(tx: Transaction, authorization: DeviceAuthorization) -> bool:
    """Store a device that begins to wait; False when another one has its user code."""
    insert = postgresql.insert if tx.connection.dialect.name == "postgresql" else sqlite.insert
    statement = (
        insert(_table)
        .values(values_of(authorization))
        .on_conflict_do_nothing()
        .returning(_table.c.device_code_hash)
    )
    return (await tx.execute(statement)).one_or_none() is not None


async def lock_by_device_code(tx: Transaction, hashes: Collection[TokenHash]) -> DeviceAuthorization | None:
    """What the device's own code stands for; it stays locked until the transaction ends.

    The lock orders polls and the person's answer, whichever process they reach. Locks are taken in the order client,
    device, grant.
    """
    statement = sa.select(_table).where(_table.c.device_code_hash.in_(hashes)).with_for_update()
    row = (await tx.execute(statement)).one_or_none()
    return DeviceAuthorization(**row._mapping) if row else None


async def find_by_user_code(tx: Transaction, hashes: Collection[TokenHash]) -> DeviceAuthorization | None:
    """What the code stands for that someone typed."""
    row = (await tx.execute(sa.select(_table).where(_table.c.user_code_hash.in_(hashes)))).one_or_none()
    return DeviceAuthorization(**row._mapping) if row else None


async def note_poll(tx: Transaction, code_hash: TokenHash, now: datetime, interval: int) -> None:
    """Remember when a device asked, and how many seconds it has to wait between two polls from now on."""
    same = _table.c.device_code_hash == code_hash
    await tx.execute(sa.update(_table).where(same).values(polled_at=now, interval=interval))


async def decide(
    tx: Transaction, code_hash: TokenHash, decision: Decision, now: datetime, keep_until: datetime
) -> bool:
    """Answer a device that waits; False when it was answered already or waited too long.

    Args:
        keep_until: until when it may fetch the answer at least.
    """
    statement = (
        sa.update(_table)
        .where(
            _table.c.device_code_hash == code_hash,
            _table.c.decided_at.is_(None),
            _table.c.expires_at > now,
        )
        .values(
            decided_at=now,
            decision=decision,
            expires_at=sa.case((_table.c.expires_at > keep_until, _table.c.expires_at), else_=keep_until),
        )
        .returning(_table.c.device_code_hash)
    )
    return (await tx.execute(statement)).one_or_none() is not None


async def open_grant(tx: Transaction, code_hash: TokenHash, grant_id: str) -> None:
    """Tie a device that was approved to its grant."""
    await tx.execute(
        sa.update(_table).where(_table.c.device_code_hash == code_hash).values(grant_id=grant_id)
    )


async def spend_device_code(tx: Transaction, code_hash: TokenHash, now: datetime) -> bool:
    """Redeem a device code; False when someone was faster."""
    statement = (
        sa.update(_table)
        .where(_table.c.device_code_hash == code_hash, _table.c.spent_at.is_(None))
        .values(spent_at=now)
        .returning(_table.c.device_code_hash)
    )
    return (await tx.execute(statement)).one_or_none() is not None


async def delete_of_client(tx: Transaction, client_id: str) -> None:
    """Forget the devices of a client."""
    await tx.execute(sa.delete(_table).where(_table.c.client_id == client_id))
