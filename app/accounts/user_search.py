"""The operator's list of people, by name, walked along its index from a place in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from app.accounts.records import Identity, User
from app.accounts.tables import identities, passkeys, users
from app.database import Transaction


@dataclass(frozen=True, slots=True)
class UserSearch:
    """Whom to list; None and False ask for nothing. `after` is the user name of the last one seen."""

    words: str | None = None
    admins: bool = False
    auditors: bool = False
    disabled: bool = False
    after: str | None = None


async def search_users(tx: Transaction, search: UserSearch, limit: int) -> Sequence[User]:
    """People, by user name."""
    statement = sa.select(users).order_by(users.c.username).limit(limit)
    if search.words:
        columns = (users.c.username, users.c.name, users.c.email)
        statement = statement.where(
            sa.or_(*(column.icontains(search.words, autoescape=True) for column in columns))
        )
    if search.admins:
        statement = statement.where(users.c.is_admin)
    if search.auditors:
        statement = statement.where(users.c.is_auditor)
    if search.disabled:
        statement = statement.where(users.c.disabled_at.is_not(None))
    if search.after is not None:
        statement = statement.where(users.c.username > search.after)
    return [User(**row._mapping) for row in await tx.execute(statement)]


async def list_identities(tx: Transaction, user_id: str) -> Sequence[Identity]:
    """Who someone is elsewhere."""
    statement = sa.select(identities).where(identities.c.user_id == user_id).order_by(identities.c.created_at)
    return [Identity(**row._mapping) for row in await tx.execute(statement)]


async def count_passkeys(tx: Transaction, user_id: str) -> int:
    """How many passkeys someone has."""
    statement = sa.select(sa.func.count()).select_from(passkeys).where(passkeys.c.user_id == user_id)
    return int((await tx.execute(statement)).scalar_one())
