"""How a client's grants and tokens stand, for operators; counted up to a limit."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.authorization_server.tables import grants, refresh_tokens
from app.database import Transaction

MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class TokenState:
    """What a client holds; each number is at most `MOST_COUNTED` + 1.

    Args:
        refresh_tokens: those that could be exchanged now.
        issued_at: when its latest access token was issued.
        revoked_at: when its latest grant was revoked.
    """

    live_grants: int
    refresh_tokens: int
    revoked_grants: int
    issued_at: datetime | None
    revoked_at: datetime | None


async def token_state(tx: Transaction, client_id: str, now: datetime) -> TokenState:
    """See `TokenState`."""
    own = grants.c.client_id == client_id
    live = sa.and_(own, grants.c.revoked_at.is_(None), grants.c.expires_at > now)
    usable = sa.and_(refresh_tokens.c.spent_at.is_(None), refresh_tokens.c.expires_at > now)
    held = sa.select(refresh_tokens.c.token_hash).join(grants, grants.c.id == refresh_tokens.c.grant_id)
    statement = sa.select(
        _counted(sa.select(grants.c.id).where(live)).label("live_grants"),
        _counted(held.where(live, usable)).label("refresh_tokens"),
        _counted(sa.select(grants.c.id).where(own, grants.c.revoked_at.is_not(None))).label("revoked_grants"),
        sa.select(sa.func.max(grants.c.last_issued_at)).where(own).scalar_subquery().label("issued_at"),
        sa.select(sa.func.max(grants.c.revoked_at)).where(own).scalar_subquery().label("revoked_at"),
    )
    return TokenState(**(await tx.execute(statement)).one()._mapping)


def _counted(statement: sa.Select[tuple[str]]) -> sa.ScalarSelect[int]:
    some = statement.limit(MOST_COUNTED + 1).subquery()
    return sa.select(sa.func.count()).select_from(some).scalar_subquery()
