"""SQL for browsers that are at another provider, and for who people are there."""

from collections.abc import Collection

import sqlalchemy as sa

from app.accounts.records import UpstreamSignIn
from app.accounts.tables import identities, upstream_sign_ins
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of


async def add_sign_in(tx: Transaction, sign_in: UpstreamSignIn) -> None:
    """Expect a browser back."""
    await tx.execute(upstream_sign_ins.insert(), values_of(sign_in))


async def drop_older_sign_ins(tx: Transaction, sign_in: UpstreamSignIn, keep: int) -> None:
    """Forget what this browser began before, but for so many of the newest."""
    table = upstream_sign_ins
    others = sa.and_(table.c.browser_hash == sign_in.browser_hash, table.c.state_hash != sign_in.state_hash)
    kept = sa.select(table.c.state_hash).where(others).order_by(table.c.created_at.desc()).limit(keep)
    await tx.execute(sa.delete(table).where(others, ~table.c.state_hash.in_(kept)))


async def take_sign_in(
    tx: Transaction, state_hashes: Collection[TokenHash], browser_hashes: Collection[TokenHash], provider: str
) -> UpstreamSignIn | None:
    """What this browser began at this provider under this state, once."""
    table = upstream_sign_ins
    statement = (
        sa.delete(table)
        .where(
            table.c.state_hash.in_(state_hashes),
            table.c.browser_hash.in_(browser_hashes),
            table.c.provider == provider,
        )
        .returning(*table.c)
    )
    row = (await tx.execute(statement)).one_or_none()
    return UpstreamSignIn(**row._mapping) if row else None


async def delete_identity(tx: Transaction, user_id: str, issuer: str, subject: str) -> bool:
    """Forget who someone is there; False when they are not."""
    same = sa.and_(
        identities.c.user_id == user_id, identities.c.issuer == issuer, identities.c.subject == subject
    )
    return (await tx.execute(sa.delete(identities).where(same))).rowcount > 0
