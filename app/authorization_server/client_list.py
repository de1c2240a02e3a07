"""Lists of clients, in which those that registered the same stand as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.authorization_server.records import Client
from app.authorization_server.tables import clients
from app.database import Transaction


@dataclass(frozen=True, slots=True)
class ClientFilter:
    """Which clients to list; None and False ask for nothing."""

    registration: str | None = None
    name: str | None = None
    never_used: bool = False
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class AlikeClients:
    """The newest of clients that registered the same, how many there are, and when one of them was last used."""

    client: Client
    registrations: int
    last_used_at: datetime | None


async def list_clients(tx: Transaction, wanted: ClientFilter, limit: int, offset: int) -> Sequence[Client]:
    """Clients, the newest first."""
    statement = sa.select(clients).where(*_conditions(wanted))
    statement = statement.order_by(clients.c.created_at.desc(), clients.c.client_id)
    return [Client(**row._mapping) for row in await tx.execute(statement.limit(limit).offset(offset))]


async def list_alike(
    tx: Transaction, wanted: ClientFilter, limit: int, offset: int
) -> Sequence[AlikeClients]:
    """Clients, those that registered the same as one; the newest first."""
    conditions = _conditions(wanted)
    # Clients without a fingerprint, which did not register themselves, are alike to nobody.
    key = sa.func.coalesce(clients.c.fingerprint, clients.c.client_id)
    groups = (
        sa.select(
            key.label("key"),
            sa.func.count().label("registrations"),
            sa.func.max(clients.c.created_at).label("newest_at"),
            sa.func.max(clients.c.last_used_at).label("used_at"),
        )
        .where(*conditions)
        .group_by(key)
        .order_by(sa.desc("newest_at"), key)
        .limit(limit)
        .offset(offset)
        .subquery()
    )
    newest = (
        sa.select(clients.c.client_id)
        .where(clients.c.fingerprint == groups.c.key, *conditions)
        .order_by(clients.c.created_at.desc(), clients.c.client_id)
        .limit(1)
        .correlate(groups)
        .scalar_subquery()
    )
    statement = (
        sa.select(clients, groups.c.registrations, groups.c.used_at)
        .join_from(groups, clients, clients.c.client_id == sa.func.coalesce(newest, groups.c.key))
        .order_by(groups.c.newest_at.desc(), clients.c.client_id)
    )
    found = []
    for row in await tx.execute(statement):
        values = dict(row._mapping)
        registrations, used_at = values.pop("registrations"), values.pop("used_at")
        found.append(AlikeClients(Client(**values), registrations, used_at))
    return found


def _conditions(wanted: ClientFilter) -> Sequence[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.registration is not None:
        conditions.append(clients.c.registration == wanted.registration)
    if wanted.name is not None:
        conditions.append(clients.c.client_name.icontains(wanted.name, autoescape=True))
    if wanted.never_used:
        conditions.append(clients.c.last_used_at.is_(None))
    if wanted.disabled:
        conditions.append(clients.c.disabled_at.is_not(None))
    return conditions
