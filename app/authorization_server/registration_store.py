"""Statements about clients that registered themselves: how many were never used, and which of them may go."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from app.authorization_server.tables import (
    NEVER_USED,
    authorization_requests,
    clients,
    device_authorizations,
    grants,
    pushed_requests,
)
from app.database import Transaction

_UNUSED_DOCUMENT = sa.and_(
    clients.c.registration == "document",
    clients.c.last_used_at.is_(None),
    clients.c.disabled_at.is_(None),
    clients.c.approved_at.is_(None),
)


async def count_never_used(tx: Transaction, limit: int) -> int:
    """How many registrations nobody ever used, counted up to a limit."""
    found = sa.select(sa.literal(1)).where(NEVER_USED).limit(limit).subquery()
    return int((await tx.execute(sa.select(sa.func.count()).select_from(found))).scalar_one())


async def delete_never_used(
    tx: Transaction, created_before: datetime, now: datetime, limit: int
) -> Sequence[str]:
    """Remove the oldest registrations that nobody ever used and that no request waits for; returns their ids.

    Those that someone works with at this moment are left alone.
    """
    useless = sa.and_(NEVER_USED, clients.c.created_at < created_before, *_idle(now))
    return await _delete(tx, useless, limit)


async def count_unused_documents(tx: Transaction, limit: int) -> int:
    """How many clients were described by a document that nobody ever used, counted up to a limit."""
    found = sa.select(sa.literal(1)).where(_UNUSED_DOCUMENT).limit(limit).subquery()
    return int((await tx.execute(sa.select(sa.func.count()).select_from(found))).scalar_one())


async def delete_unused_documents(
    tx: Transaction, fetched_before: datetime, now: datetime, limit: int
) -> Sequence[str]:
    """Forget documents that were read once, for nothing; whoever comes with one again has it read again."""
    useless = sa.and_(_UNUSED_DOCUMENT, clients.c.document_fetched_at < fetched_before, *_idle(now))
    return await _delete(tx, useless, limit)


async def delete_oldest_documents(
    tx: Transaction, created_before: datetime, now: datetime, limit: int
) -> Sequence[str]:
    """The same of those that were read for the first time before an instant, however often since; the oldest first."""
    useless = sa.and_(_UNUSED_DOCUMENT, clients.c.created_at < created_before, *_idle(now))
    return await _delete(tx, useless, limit)


async def _delete(tx: Transaction, useless: sa.ColumnElement[bool], limit: int) -> Sequence[str]:
    locked = (
        sa.select(clients.c.client_id)
        .where(useless)
        .order_by(clients.c.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    picked = list((await tx.execute(locked)).scalars())
    if not picked:
        return []
    # Asked once more, now that the rows are locked: a request may have come while they were not.
    statement = sa.delete(clients).where(clients.c.client_id.in_(picked), useless)
    return list((await tx.execute(statement.returning(clients.c.client_id))).scalars())


def _idle(now: datetime) -> Sequence[sa.ColumnElement[bool]]:
    """Nobody vouches for it, it has no grant, and nothing that a person or a device could still turn into one."""
    waiting = (
        (grants, sa.true()),
        (
            authorization_requests,
            authorization_requests.c.decided_at.is_(None) & (authorization_requests.c.expires_at > now),
        ),
        (device_authorizations, device_authorizations.c.expires_at > now),
        (pushed_requests, pushed_requests.c.expires_at > now),
    )
    return [
        clients.c.approved_at.is_(None),
        *(
            ~sa.exists().where(table.c.client_id == clients.c.client_id, condition)
            for table, condition in waiting
        ),
    ]
