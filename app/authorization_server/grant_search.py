"""The operator's list of grants, walked along an index from a place in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.authorization_server.records import Grant
from app.authorization_server.tables import clients, grants
from app.database import Transaction, UTCDateTime


@dataclass(frozen=True, slots=True)
class GrantSearch:
    """Which grants to list; None and False ask for nothing. `after` is the time and id of the last one seen."""

    user_id: str | None = None
    client_id: str | None = None
    live: bool = False
    after: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True)
class ListedGrant:
    """A grant, and what its client calls itself."""

    grant: Grant
    client_name: str


async def search_grants(
    tx: Transaction, search: GrantSearch, now: datetime, limit: int
) -> Sequence[ListedGrant]:
    """Grants, the newest first."""
    statement = sa.select(grants, clients.c.client_name.label("named")).join(
        clients, clients.c.client_id == grants.c.client_id
    )
    if search.user_id is not None:
        statement = statement.where(grants.c.user_id == search.user_id)
    if search.client_id is not None:
        statement = statement.where(grants.c.client_id == search.client_id)
    if search.live:
        statement = statement.where(grants.c.revoked_at.is_(None), grants.c.expires_at > now)
    if search.after is not None:
        here = sa.tuple_(sa.literal(search.after[0], UTCDateTime()), sa.literal(search.after[1], sa.Text))
        statement = statement.where(sa.tuple_(grants.c.created_at, grants.c.id) < here)
    statement = statement.order_by(grants.c.created_at.desc(), grants.c.id.desc()).limit(limit)
    found = []
    for row in await tx.execute(statement):
        values = dict(row._mapping)
        named = values.pop("named")
        found.append(ListedGrant(Grant(**values), named or values["client_id"]))
    return found
