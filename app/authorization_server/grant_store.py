"""Statements about grants and what hangs on them: codes, refresh tokens, revocations."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.authorization_server.records import AuthorizationCode, Grant, RefreshToken
from app.authorization_server.tables import (
    authorization_codes,
    clients,
    device_authorizations,
    grants,
    refresh_tokens,
    revocations,
)
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of

_AT_ONCE = 500  # rows a statement: SQLite counts the parameters
_USED_EXACT_TO = timedelta(minutes=1)
REVOCATIONS_CHANNEL = "ostiary_revocations"
# Grant types whose grants a person allowed on a page of ours.
APPROVED_BY_PERSON = ("authorization_code", "urn:ietf:params:oauth:grant-type:device_code")


class RevokedGrant(NamedTuple):
    """A grant that was revoked now, and when it last issued a token."""

    grant_id: str
    last_issued_at: datetime | None
    user_id: str | None
    client_id: str


async def add_grant(tx: Transaction, grant: Grant) -> None:
    """Store what was allowed, and that its client is in use, exact to a minute: such a client never goes by itself."""
    used_before = clients.c.last_used_at < grant.created_at - _USED_EXACT_TO
    # The client before its grants: the order in which everyone locks them.
    await tx.execute(
        sa.update(clients)
        .where(clients.c.client_id == grant.client_id, clients.c.last_used_at.is_(None) | used_before)
        .values(last_used_at=grant.created_at)
    )
    await tx.execute(grants.insert(), values_of(grant))


async def add_code(tx: Transaction, code: AuthorizationCode) -> None:
    """Store a code that opens a grant."""
    await tx.execute(authorization_codes.insert(), values_of(code))


async def find_own_grant(
    tx: Transaction, client_id: str, resource: str, scope: str, holds_until: datetime
) -> Grant | None:
    """The live grant of a client that acts for itself, if it holds until an instant."""
    statement = sa.select(grants).where(
        grants.c.client_id == client_id,
        grants.c.user_id.is_(None),
        grants.c.resource == resource,
        grants.c.scope == scope,
        grants.c.revoked_at.is_(None),
        grants.c.expires_at > holds_until,
    )
    row = (await tx.execute(statement.order_by(grants.c.expires_at.desc()).limit(1))).one_or_none()
    return Grant(**row._mapping) if row else None


async def find_grant(tx: Transaction, grant_id: str) -> Grant | None:
    """The grant with this id."""
    row = (await tx.execute(sa.select(grants).where(grants.c.id == grant_id))).one_or_none()
    return Grant(**row._mapping) if row else None


async def list_grants(
    tx: Transaction, limit: int, offset: int, *, user_id: str | None = None, client_id: str | None = None
) -> Sequence[Grant]:
    """Grants, the newest first."""
    statement = sa.select(grants).order_by(grants.c.created_at.desc(), grants.c.id)
    if user_id is not None:
        statement = statement.where(grants.c.user_id == user_id)
    if client_id is not None:
        statement = statement.where(grants.c.client_id == client_id)
    return [Grant(**row._mapping) for row in await tx.execute(statement.limit(limit).offset(offset))]


async def list_live_scopes(
    tx: Transaction, user_id: str, client_id: str, resource: str, now: datetime
) -> Sequence[str]:
    """What a person's live grants allow a client at a resource, as scope strings.

    What was allowed before the client last said something new about itself was allowed to another description of it.
    """
    statement = (
        sa.select(grants.c.scope)
        .distinct()
        .join(clients, clients.c.client_id == grants.c.client_id)
        .where(
            clients.c.changed_at.is_(None) | (grants.c.created_at >= clients.c.changed_at),
            grants.c.user_id == user_id,
            grants.c.client_id == client_id,
            grants.c.resource == resource,
            grants.c.grant_type.in_(APPROVED_BY_PERSON),
            grants.c.revoked_at.is_(None),
            grants.c.expires_at > now,
        )
    )
    return list((await tx.execute(statement)).scalars())


async def lock_by_code(
    tx: Transaction, hashes: Collection[TokenHash]
) -> tuple[AuthorizationCode, Grant] | None:
    """The code with one of these hashes and its grant, which stays locked until the transaction ends.

    The lock orders redemptions, refreshes and revocations of one grant, whichever process they reach.
    """
    found = await _lock_grant_by(tx, authorization_codes, authorization_codes.c.code_hash.in_(hashes))
    if found is None:
        return None
    # Read only now: while this waited for the lock, someone else may have spent the code.
    statement = sa.select(authorization_codes).where(authorization_codes.c.code_hash.in_(hashes))
    row = (await tx.execute(statement)).one()
    return AuthorizationCode(**row._mapping), found


async def lock_by_refresh_token(
    tx: Transaction, hashes: Collection[TokenHash]
) -> tuple[RefreshToken, Grant] | None:
    """The refresh token with one of these hashes and its grant, locked as in `lock_by_code`."""
    found = await _lock_grant_by(tx, refresh_tokens, refresh_tokens.c.token_hash.in_(hashes))
    if found is None:
        return None
    row = (await tx.execute(sa.select(refresh_tokens).where(refresh_tokens.c.token_hash.in_(hashes)))).one()
    return RefreshToken(**row._mapping), found


async def lock_by_device_code(tx: Transaction, code_hash: TokenHash) -> Grant | None:
    """The grant that a person opened to a device, locked as in `lock_by_code`; None where nobody did."""
    return await _lock_grant_by(
        tx, device_authorizations, device_authorizations.c.device_code_hash == code_hash
    )


async def find_refresh_token(tx: Transaction, hashes: Collection[TokenHash]) -> RefreshToken | None:
    """The refresh token with one of these hashes."""
    row = (
        await tx.execute(sa.select(refresh_tokens).where(refresh_tokens.c.token_hash.in_(hashes)))
    ).one_or_none()
    return RefreshToken(**row._mapping) if row else None


async def spend_code(tx: Transaction, code_hash: TokenHash, now: datetime) -> bool:
    """Redeem a code; False when someone was faster."""
    statement = (
        sa.update(authorization_codes)
        .where(authorization_codes.c.code_hash == code_hash, authorization_codes.c.spent_at.is_(None))
        .values(spent_at=now)
        .returning(authorization_codes.c.code_hash)
    )
    return (await tx.execute(statement)).one_or_none() is not None


async def spend_refresh_token(tx: Transaction, token_hash: TokenHash, now: datetime) -> bool:
    """Exchange a refresh token; False when someone was faster."""
    statement = (
        sa.update(refresh_tokens)
        .where(refresh_tokens.c.token_hash == token_hash, refresh_tokens.c.spent_at.is_(None))
        .values(spent_at=now)
        .returning(refresh_tokens.c.token_hash)
    )
    return (await tx.execute(statement)).one_or_none() is not None


async def add_refresh_token(tx: Transaction, token: RefreshToken) -> None:
    """Store a refresh token."""
    await tx.execute(refresh_tokens.insert(), values_of(token))


async def set_props(tx: Transaction, grant_id: str, props_sealed: str) -> None:
    """Attach what the hooks want to be kept with a grant, in its encrypted form."""
    await tx.execute(sa.update(grants).where(grants.c.id == grant_id).values(props_sealed=props_sealed))


async def note_issued(tx: Transaction, grant_id: str, now: datetime) -> None:
    """Remember when a grant's latest access token was issued."""
    await tx.execute(sa.update(grants).where(grants.c.id == grant_id).values(last_issued_at=now))


async def revoke_grants(
    tx: Transaction, which: sa.ColumnElement[bool], because: str, now: datetime
) -> Sequence[RevokedGrant]:
    """Revoke the live grants that fulfil a condition."""
    statement = (
        sa.update(grants)
        .where(which, grants.c.revoked_at.is_(None))
        .values(revoked_at=now, revoked_because=because)
        .returning(grants.c.id, grants.c.last_issued_at, grants.c.user_id, grants.c.client_id)
    )
    return [
        RevokedGrant(row.id, row.last_issued_at, row.user_id, row.client_id)
        for row in await tx.execute(statement)
    ]


async def lock_live_grants(
    tx: Transaction, user_id: str, client_id: str, resource: str, now: datetime
) -> Sequence[Grant]:
    """What a person allows a client at a resource at present, locked as in `lock_by_code`."""
    statement = (
        sa.select(grants)
        .where(
            grants.c.user_id == user_id,
            grants.c.client_id == client_id,
            grants.c.resource == resource,
            grants.c.revoked_at.is_(None),
            grants.c.expires_at > now,
        )
        .order_by(grants.c.id)
        .with_for_update()
    )
    return [Grant(**row._mapping) for row in await tx.execute(statement)]


async def change_grant(tx: Transaction, grant: Grant) -> None:
    """Store what a person left of a grant that is locked."""
    names = ("scope", "edition", "taken_back", "client_snapshot", "expires_at")
    values = {name: getattr(grant, name) for name in names}
    await tx.execute(sa.update(grants).where(grants.c.id == grant.id).values(values))


async def add_revocations(
    tx: Transaction, kind: str, subjects: Sequence[str], now: datetime, keep_until: datetime
) -> Sequence[str]:
    """Tell every process to refuse the access tokens of these grants, or these single tokens.

    Returns those that were not revoked before; only they are news.
    """
    insert = postgresql.insert if tx.connection.dialect.name == "postgresql" else sqlite.insert
    new: list[str] = []
    for start in range(0, len(subjects), _AT_ONCE):
        rows = [
            {"kind": kind, "subject": subject, "revoked_at": now, "keep_until": keep_until}
            for subject in subjects[start : start + _AT_ONCE]
        ]
        statement = insert(revocations).values(rows).on_conflict_do_nothing().returning(revocations.c.subject)
        new += [row.subject for row in await tx.execute(statement)]
    if new:
        await tx.notify(REVOCATIONS_CHANNEL, [(subject, keep_until) for subject in new])
    return new


async def list_revocations(
    tx: Transaction, *, after: int = 0, kept_after: datetime | None = None
) -> Sequence[tuple[int, str, datetime]]:
    """Revocations with a higher number, or that matter longer than an instant: number, subject, until when."""
    columns = (revocations.c.id, revocations.c.subject, revocations.c.keep_until)
    condition = revocations.c.id > after if kept_after is None else revocations.c.keep_until > kept_after
    rows = await tx.execute(sa.select(*columns).where(condition))
    return [(row.id, row.subject, row.keep_until) for row in rows]


async def is_revoked(tx: Transaction, subjects: Collection[str]) -> bool:
    """Whether one of these grants or tokens is revoked."""
    statement = sa.select(sa.exists().where(revocations.c.subject.in_(subjects)))
    return bool((await tx.execute(statement)).scalar())


async def _lock_grant_by(tx: Transaction, table: sa.Table, condition: sa.ColumnElement[bool]) -> Grant | None:
    statement = (
        sa.select(grants)
        .join(table, table.c.grant_id == grants.c.id)
        .where(condition)
        .with_for_update(of=grants)  # SQLite has no row locks; its write transactions exclude each other
    )
    row = (await tx.execute(statement)).one_or_none()
    return Grant(**row._mapping) if row else None
