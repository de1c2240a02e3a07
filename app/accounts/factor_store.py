"""Every statement about passkeys, one-time codes, recovery codes and sign-ins that wait for one of them."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.accounts.records import Authenticator, Passkey, PasskeyChallenge, PendingSignIn, RecoveryCode
from app.accounts.tables import (
    authenticators,
    passkey_challenges,
    passkeys,
    pending_sign_ins,
    recovery_codes,
)
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of


async def add_passkey(tx: Transaction, passkey: Passkey) -> bool:
    """Store a new passkey; False when its credential id is known already, whoever's it is."""
    return await _add_once(tx, passkeys, passkey)


async def find_passkey(tx: Transaction, credential_id: str) -> Passkey | None:
    """The passkey with this credential id."""
    statement = sa.select(passkeys).where(passkeys.c.credential_id == credential_id)
    row = (await tx.execute(statement)).one_or_none()
    return Passkey(**row._mapping) if row else None


async def list_passkeys(tx: Transaction, user_id: str) -> Sequence[Passkey]:
    """Someone's passkeys, the oldest first."""
    statement = sa.select(passkeys).where(passkeys.c.user_id == user_id)
    rows = await tx.execute(statement.order_by(passkeys.c.created_at, passkeys.c.credential_id))
    return [Passkey(**row._mapping) for row in rows]


async def use_passkey(
    tx: Transaction, credential_id: str, sign_count: int, is_backed_up: bool, now: datetime
) -> bool:
    """Note a use; False when the counter did not go up, and the authenticator counts (WebAuthn §7.2, step 22)."""
    goes_up = sa.or_(
        passkeys.c.sign_count < sign_count, sa.and_(passkeys.c.sign_count == 0, sa.literal(sign_count) == 0)
    )
    statement = (
        sa.update(passkeys)
        .where(passkeys.c.credential_id == credential_id, goes_up)
        .values(sign_count=sign_count, is_backed_up=is_backed_up, last_used_at=now)
    )
    return (await tx.execute(statement)).rowcount > 0


async def rename_passkey(tx: Transaction, user_id: str, credential_id: str, name: str) -> bool:
    """Call a passkey of this person otherwise; False when it is not theirs."""
    own = sa.and_(passkeys.c.user_id == user_id, passkeys.c.credential_id == credential_id)
    return (await tx.execute(sa.update(passkeys).where(own).values(name=name))).rowcount > 0


async def delete_passkey(tx: Transaction, user_id: str, credential_id: str) -> bool:
    """Remove a passkey of this person; False when it is not theirs."""
    own = sa.and_(passkeys.c.user_id == user_id, passkeys.c.credential_id == credential_id)
    return (await tx.execute(sa.delete(passkeys).where(own))).rowcount > 0


async def spend_challenge(tx: Transaction, challenge: PasskeyChallenge) -> bool:
    """Remember that a challenge was answered; False when it was before."""
    return await _add_once(tx, passkey_challenges, challenge)


async def find_authenticator(tx: Transaction, user_id: str) -> Authenticator | None:
    """The app that shows someone's one-time codes."""
    statement = sa.select(authenticators).where(authenticators.c.user_id == user_id)
    row = (await tx.execute(statement)).one_or_none()
    return Authenticator(**row._mapping) if row else None


async def put_authenticator(tx: Transaction, authenticator: Authenticator) -> None:
    """Store someone's app, in place of the one that they had."""
    values = values_of(authenticator)
    statement = _insert(tx)(authenticators).values(values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=values))


async def spend_step(
    tx: Transaction, authenticator: Authenticator, step: int, resealed: str, now: datetime
) -> bool:
    """Take the code of a time step; False when it, or a later one, was taken already, or the app is another now."""
    fresh = sa.and_(
        authenticators.c.user_id == authenticator.user_id,
        authenticators.c.created_at == authenticator.created_at,
        authenticators.c.last_step < step,
    )
    statement = sa.update(authenticators).where(fresh)
    values = {"last_step": step, "last_used_at": now, "secret_sealed": resealed}
    return (await tx.execute(statement.values(values))).rowcount > 0


async def delete_authenticator(tx: Transaction, user_id: str) -> bool:
    """Remove someone's app; False when there is none."""
    return (
        await tx.execute(sa.delete(authenticators).where(authenticators.c.user_id == user_id))
    ).rowcount > 0


async def replace_recovery_codes(tx: Transaction, user_id: str, codes: Sequence[RecoveryCode]) -> None:
    """Store someone's codes in place of those that they had."""
    await tx.execute(sa.delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
    if codes:
        await tx.execute(recovery_codes.insert(), [values_of(code) for code in codes])


async def spend_recovery_code(
    tx: Transaction, user_id: str, hashes: Collection[TokenHash], now: datetime
) -> bool:
    """Take a recovery code of this person; False when it is none, or was taken already."""
    unused = sa.and_(
        recovery_codes.c.user_id == user_id,
        recovery_codes.c.code_hash.in_(hashes),
        recovery_codes.c.used_at.is_(None),
    )
    return (await tx.execute(sa.update(recovery_codes).where(unused).values(used_at=now))).rowcount > 0


async def count_recovery_codes(tx: Transaction, user_id: str) -> int:
    """How many of someone's codes are left."""
    left = sa.and_(recovery_codes.c.user_id == user_id, recovery_codes.c.used_at.is_(None))
    return int((await tx.execute(sa.select(sa.func.count()).where(left))).scalar_one())


async def has_second_factor(tx: Transaction, user_id: str) -> bool:
    """Whether someone has a passkey or an app for one-time codes."""
    either = sa.or_(
        sa.exists().where(passkeys.c.user_id == user_id),
        sa.exists().where(authenticators.c.user_id == user_id),
    )
    return bool((await tx.execute(sa.select(either))).scalar())


async def delete_second_factors(tx: Transaction, user_id: str) -> None:
    """Remove all that someone has besides the password."""
    for table in (passkeys, authenticators, recovery_codes, pending_sign_ins):
        await tx.execute(sa.delete(table).where(table.c.user_id == user_id))


async def add_pending_sign_in(tx: Transaction, pending: PendingSignIn) -> None:
    """Store a sign-in that waits for a second factor."""
    await tx.execute(pending_sign_ins.insert(), values_of(pending))


async def find_pending_sign_in(
    tx: Transaction, hashes: Collection[TokenHash], browser_hashes: Collection[TokenHash]
) -> PendingSignIn | None:
    """What waits in this browser under one of these hashes."""
    mine = sa.and_(
        pending_sign_ins.c.id_hash.in_(hashes), pending_sign_ins.c.browser_hash.in_(browser_hashes)
    )
    row = (await tx.execute(sa.select(pending_sign_ins).where(mine))).one_or_none()
    return PendingSignIn(**row._mapping) if row else None


async def count_try(tx: Transaction, id_hash: TokenHash, most: int) -> bool:
    """Count a try before it is made; False when there were too many. Others at the same sign-in wait until this
    transaction ends.
    """
    left = sa.and_(pending_sign_ins.c.id_hash == id_hash, pending_sign_ins.c.tries < most)
    statement = sa.update(pending_sign_ins).where(left).values(tries=pending_sign_ins.c.tries + 1)
    return (await tx.execute(statement)).rowcount > 0


async def delete_pending_sign_in(tx: Transaction, id_hash: TokenHash) -> None:
    """End a sign-in that waited."""
    await tx.execute(sa.delete(pending_sign_ins).where(pending_sign_ins.c.id_hash == id_hash))


async def _add_once(tx: Transaction, table: sa.Table, record: object) -> bool:
    """Insert a row unless its key is there; whether it was inserted."""
    statement = _insert(tx)(table).values(values_of(record)).on_conflict_do_nothing()
    key = table.primary_key.columns[0]
    return (await tx.execute(statement.returning(key))).one_or_none() is not None


def _insert(tx: Transaction) -> type[postgresql.Insert] | type[sqlite.Insert]:
    return postgresql.Insert if tx.connection.dialect.name == "postgresql" else sqlite.Insert
