"""The apps that a person lets act for them at present."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.authorization_server.records import Client, Grant
from app.authorization_server.tables import clients, grants
from app.database import Transaction


@dataclass(frozen=True, slots=True)
class ConnectedApp:
    """A client with a person's live grants to it, the newest first; there is at least one."""

    client: Client
    grants: Sequence[Grant]

    @property
    def since(self) -> datetime:
        """When the oldest of them was approved."""
        return min(grant.created_at for grant in self.grants)

    @property
    def until(self) -> datetime:
        """When the last of them ends, if nothing renews it."""
        return max(grant.expires_at for grant in self.grants)

    @property
    def first_used_at(self) -> datetime | None:
        """When one of them was first used here; None for never."""
        return min((grant.first_used_at for grant in self.grants if grant.first_used_at), default=None)

    @property
    def last_used(self) -> Grant | None:
        """The one that was used last; None where none was."""
        used = [(grant.last_used_at, grant.id, grant) for grant in self.grants if grant.last_used_at]
        return max(used)[2] if used else None


async def list_connected_apps(tx: Transaction, user_id: str, now: datetime) -> Sequence[ConnectedApp]:
    """Every app that a person allows something, the one that was allowed something last first."""
    live = (
        sa.select(grants)
        .where(grants.c.user_id == user_id, grants.c.revoked_at.is_(None), grants.c.expires_at > now)
        .order_by(grants.c.created_at.desc(), grants.c.id)
    )
    found: dict[str, list[Grant]] = {}
    for row in await tx.execute(live):
        found.setdefault(row.client_id, []).append(Grant(**row._mapping))
    known = await find_clients(tx, found)
    return [ConnectedApp(known[client_id], held) for client_id, held in found.items() if client_id in known]


async def find_clients(tx: Transaction, client_ids: Collection[str]) -> Mapping[str, Client]:
    """Those of these clients that there are."""
    ids = sorted(client_ids)
    found: dict[str, Client] = {}
    for start in range(0, len(ids), 500):
        statement = sa.select(clients).where(clients.c.client_id.in_(ids[start : start + 500]))
        found |= {row.client_id: Client(**row._mapping) for row in await tx.execute(statement)}
    return found
