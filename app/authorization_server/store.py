"""Statements about clients, authorization requests, signing keys."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.authorization_server.client_search import search_text, sort_name
from app.authorization_server.records import AuthorizationRequest, Client, Decision, StoredSigningKey
from app.authorization_server.tables import authorization_requests, clients, signing_keys
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of


async def add_client(tx: Transaction, client: Client) -> None:
    """Store a new client."""
    await tx.execute(clients.insert(), _row_of(client))


async def find_client(tx: Transaction, client_id: str) -> Client | None:
    """The client with this id."""
    if "\x00" in client_id:  # PostgreSQL refuses even to be asked
        return None
    row = (await tx.execute(sa.select(clients).where(clients.c.client_id == client_id))).one_or_none()
    return Client(**row._mapping) if row else None


async def list_client_names(tx: Transaction, client_ids: Collection[str]) -> Mapping[str, str]:
    """What these clients are called, by id; those that are gone are missing."""
    columns = (clients.c.client_id, clients.c.client_name)
    rows = await tx.execute(sa.select(*columns).where(clients.c.client_id.in_(client_ids)))
    return {row.client_id: row.client_name or row.client_id for row in rows}


async def hold_client(tx: Transaction, client_id: str) -> Client | None:
    """The client with this id, kept as it is until the transaction ends."""
    if "\x00" in client_id:
        return None
    statement = sa.select(clients).where(clients.c.client_id == client_id).with_for_update(key_share=True)
    row = (await tx.execute(statement)).one_or_none()
    return Client(**row._mapping) if row else None


async def update_client(tx: Transaction, client: Client) -> None:
    """Take over what a client registered anew."""
    values = _row_of(client)
    del values["client_id"]
    await tx.execute(sa.update(clients).where(clients.c.client_id == client.client_id).values(values))


async def update_document(tx: Transaction, client: Client) -> None:
    """Take over a newer reading of a client's metadata document; what is known about it besides stays."""
    kept = {"client_id", "registered_from", "created_at", "last_used_at", "disabled_at", "approved_at"}
    values = {name: value for name, value in _row_of(client).items() if name not in kept}
    statement = sa.update(clients).where(
        clients.c.client_id == client.client_id, clients.c.registration == "document"
    )
    await tx.execute(statement.values(values))


async def withdraw_document(tx: Transaction, client_id: str, now: datetime) -> None:
    """Remember that a client's metadata document is gone."""
    statement = sa.update(clients).where(
        clients.c.client_id == client_id, clients.c.registration == "document"
    )
    await tx.execute(statement.values(document_withdrawn_at=now))


async def set_client_disabled(tx: Transaction, client_id: str, disabled_at: datetime | None) -> None:
    """Disable or enable a client."""
    await tx.execute(
        sa.update(clients).where(clients.c.client_id == client_id).values(disabled_at=disabled_at)
    )


async def set_client_approved(tx: Transaction, client_id: str, approved_at: datetime | None) -> bool:
    """Vouch for a client, or no longer; False when that is so already, or it is gone."""
    before = clients.c.approved_at.is_not(None) if approved_at is None else clients.c.approved_at.is_(None)
    statement = sa.update(clients).where(clients.c.client_id == client_id, before)
    return (await tx.execute(statement.values(approved_at=approved_at))).rowcount > 0


async def delete_client(tx: Transaction, client_id: str) -> None:
    """Remove a client with all that hangs on it."""
    await tx.execute(sa.delete(clients).where(clients.c.client_id == client_id))


async def add_request(tx: Transaction, request: AuthorizationRequest) -> None:
    """Park an authorization request."""
    await tx.execute(authorization_requests.insert(), values_of(request))


async def drop_older_requests(tx: Transaction, request: AuthorizationRequest, keep: int) -> None:
    """Forget what waits in the browser of this request, but for this one and so many of the newest others."""
    table = authorization_requests
    others = sa.and_(
        table.c.browser_hash == request.browser_hash,
        table.c.decided_at.is_(None),
        table.c.id != request.id,
    )
    kept = sa.select(table.c.id).where(others).order_by(table.c.created_at.desc()).limit(keep)
    await tx.execute(sa.delete(table).where(others, ~table.c.id.in_(kept)))


async def find_request(
    tx: Transaction, request_id: str, browser_hashes: Collection[TokenHash]
) -> AuthorizationRequest | None:
    """The parked request, if it belongs to this browser."""
    if "\x00" in request_id:  # PostgreSQL refuses even to be asked
        return None
    statement = sa.select(authorization_requests).where(
        authorization_requests.c.id == request_id, authorization_requests.c.browser_hash.in_(browser_hashes)
    )
    row = (await tx.execute(statement)).one_or_none()
    return AuthorizationRequest(**row._mapping) if row else None


async def spend_request(tx: Transaction, request_id: str, decision: Decision, now: datetime) -> bool:
    """Answer a parked request; False when it was answered already or is too old."""
    statement = (
        sa.update(authorization_requests)
        .where(
            authorization_requests.c.id == request_id,
            authorization_requests.c.decided_at.is_(None),
            authorization_requests.c.expires_at > now,
        )
        .values(decided_at=now, decision=decision)
        .returning(authorization_requests.c.id)
    )
    return (await tx.execute(statement)).one_or_none() is not None


async def add_signing_key(tx: Transaction, key: StoredSigningKey) -> None:
    """Store a signing key."""
    await tx.execute(signing_keys.insert(), values_of(key))


async def list_signing_keys(tx: Transaction) -> Sequence[StoredSigningKey]:
    """Every signing key, the newest first."""
    rows = await tx.execute(
        sa.select(signing_keys).order_by(signing_keys.c.created_at.desc(), signing_keys.c.kid)
    )
    return [StoredSigningKey(**row._mapping) for row in rows]


async def retire_signing_key(tx: Transaction, key: StoredSigningKey) -> None:
    """Store when a key stops signing, and until when it is accepted."""
    values = {"retired_at": key.retired_at, "accepted_until": key.accepted_until}
    await tx.execute(sa.update(signing_keys).where(signing_keys.c.kid == key.kid).values(values))


async def reseal_signing_key(tx: Transaction, kid: str, private_jwk_sealed: str) -> None:
    """Store a private key under the present SECRET_KEY."""
    same = signing_keys.c.kid == kid
    await tx.execute(sa.update(signing_keys).where(same).values(private_jwk_sealed=private_jwk_sealed))


async def set_secret_hash(tx: Transaction, client_id: str, secret_hash: TokenHash) -> None:
    """Store the hash of a client's secret under the present SECRET_KEY."""
    await tx.execute(
        sa.update(clients).where(clients.c.client_id == client_id).values(secret_hash=secret_hash)
    )


def _row_of(client: Client) -> dict[str, Any]:
    """The columns of a client, with those that follow from the others."""
    return {
        **values_of(client),
        "fingerprint": client.fingerprint or client.client_id,
        "search_text": search_text(client.client_name, client.client_id, client.redirect_uris),
        "sort_name": sort_name(client.client_name, client.client_id),
    }
