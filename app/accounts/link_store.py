"""Every statement about links that let people in or prove an address."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from app.accounts.records import AccountLink
from app.accounts.tables import account_links
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of


async def add_link(tx: Transaction, link: AccountLink) -> None:
    """Store a new link."""
    await tx.execute(account_links.insert(), values_of(link))


async def find_link(tx: Transaction, hashes: Collection[TokenHash]) -> AccountLink | None:
    """The link with one of these hashes, whether it is good or not."""
    statement = sa.select(account_links).where(account_links.c.token_hash.in_(hashes))
    row = (await tx.execute(statement)).one_or_none()
    return AccountLink(**row._mapping) if row else None


async def spend_link(tx: Transaction, token_hash: TokenHash, now: datetime) -> AccountLink | None:
    """Use a link up; None when it was used before or withdrawn, or its time is over."""
    good = sa.and_(
        account_links.c.token_hash == token_hash,
        account_links.c.used_at.is_(None),
        account_links.c.expires_at > now,
        account_links.c.expires_at > account_links.c.created_at,
    )
    statement = sa.update(account_links).where(good).values(used_at=now).returning(*account_links.c)
    row = (await tx.execute(statement)).one_or_none()
    return AccountLink(**row._mapping) if row else None


async def withdraw_links(tx: Transaction, user_id: str, purposes: Collection[str] | None = None) -> None:
    """End the time of someone's unused links: of all of them, or of these kinds. It ends where it began, so that it is
    over by the clock of every replica.
    """
    unused = [account_links.c.user_id == user_id, account_links.c.used_at.is_(None)]
    if purposes is not None:
        unused.append(account_links.c.purpose.in_(purposes))
    await tx.execute(sa.update(account_links).where(*unused).values(expires_at=account_links.c.created_at))


async def withdraw_before(tx: Transaction, instant: datetime) -> int:
    """End the time of all unused links that were made before an instant; returns how many that were."""
    unused = [
        account_links.c.created_at < instant,
        account_links.c.used_at.is_(None),
        account_links.c.expires_at > account_links.c.created_at,
    ]
    statement = sa.update(account_links).where(*unused).values(expires_at=account_links.c.created_at)
    return (await tx.execute(statement)).rowcount
