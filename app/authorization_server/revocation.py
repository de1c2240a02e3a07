"""Revocation: by the client (RFC 7009), by the operator, and by the server when a secret was used twice.

Codes and refresh tokens die in the database; access tokens live on their own, so their grant, or their `jti`, is
entered in `revocations` until the last of them has expired.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from app.audit import Origin, record, record_grants_revoked
from app.authorization_server import device_store, grant_store, store
from app.authorization_server.keys import SigningKeys
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.authorization_server.tables import grants
from app.database import Transaction
from app.oauth import jwt
from app.oauth.credentials import Keys
from app.oauth.errors import InvalidRequest

# Longer than an access token lives, by more than clocks differ.
MARGIN = timedelta(minutes=5)
_AT_ONCE = 1000


async def revoke_token(
    tx: Transaction,
    keys: Keys,
    signing_keys: SigningKeys,
    policy: Policy,
    client: Client,
    token: str,
    origin: Origin,
) -> None:
    """Revoke a token of this client. The hint is not needed: our tokens tell what they are.

    A refresh token takes its grant along (RFC 7009 §2.1); an access token dies alone. What is unknown or dead
    already needs nothing (§2.2).

    Raises:
        InvalidRequest: the token is another client's; it stays as it is (§2.1).
    """
    found = await grant_store.lock_by_refresh_token(tx, keys.hashes(token))
    if found is not None:
        _check_owner(client, found[1].client_id)
        await revoke_grant(tx, policy, found[1].id, "client", origin)
        return
    try:
        claims = jwt.verify(token, signing_keys.verification, jwt.ACCESS_TOKEN_TYPE)
    except jwt.InvalidJWT:
        return
    _check_owner(client, str(claims["client_id"]))
    expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
    if origin.now < expires_at:
        jti = str(claims["jti"])
        if await grant_store.add_revocations(tx, "token", [jti], origin.now, expires_at + MARGIN):
            await record(
                tx,
                "token.revoked",
                origin,
                client_id=client.client_id,
                grant_id=str(claims["grant_id"]),
                # A client that acts for itself is its own subject (RFC 9068 §2.2).
                user_id=str(claims["sub"]) if claims["sub"] != claims["client_id"] else None,
            )


async def revoke_grant(tx: Transaction, policy: Policy, grant_id: str, because: str, origin: Origin) -> bool:
    """Revoke one grant with all its tokens; False when it was revoked already or never was."""
    return await _revoke(tx, policy, grants.c.id == grant_id, because, origin) > 0


async def revoke_user(tx: Transaction, policy: Policy, user_id: str, because: str, origin: Origin) -> int:
    """Revoke everything that someone allowed; returns how many grants that were."""
    return await _revoke(tx, policy, grants.c.user_id == user_id, because, origin)


async def revoke_client(tx: Transaction, policy: Policy, client_id: str, because: str, origin: Origin) -> int:
    """Revoke everything that a client was allowed; returns how many grants that were."""
    return await _revoke(tx, policy, grants.c.client_id == client_id, because, origin)


async def revoke_app(
    tx: Transaction, policy: Policy, user_id: str, client_id: str, because: str, origin: Origin
) -> int:
    """Revoke what a person allowed one client; returns how many grants that were."""
    # The client before its grants, as everywhere.
    await store.hold_client(tx, client_id)
    which = (grants.c.user_id == user_id) & (grants.c.client_id == client_id)
    return await _revoke(tx, policy, which, because, origin)


async def revoke_before(
    tx: Transaction, policy: Policy, instant: datetime, because: str, origin: Origin
) -> int:
    """Revoke every grant that holds and was made before an instant; returns how many that were."""
    total = 0
    while True:
        some = (
            sa.select(grants.c.id)
            .where(
                grants.c.created_at < instant, grants.c.revoked_at.is_(None), grants.c.expires_at > origin.now
            )
            .order_by(grants.c.id)
            .limit(_AT_ONCE)
        )
        revoked = await _revoke(tx, policy, grants.c.id.in_(some), because, origin)
        if not revoked:
            return total
        total += revoked


async def disable_client(tx: Transaction, policy: Policy, client_id: str, origin: Origin) -> None:
    """Disable a client: it can't ask any more, and what it was allowed is revoked."""
    await store.set_client_disabled(tx, client_id, origin.now)
    await _revoke(tx, policy, grants.c.client_id == client_id, "client_disabled", origin)
    await record(tx, "client.disabled", origin, client_id=client_id)


async def enable_client(tx: Transaction, client_id: str, origin: Origin) -> None:
    """Let a disabled client ask again; people approve anew."""
    await store.set_client_disabled(tx, client_id, None)
    await record(tx, "client.enabled", origin, client_id=client_id)


async def delete_client(tx: Transaction, policy: Policy, client_id: str, origin: Origin) -> None:
    """Remove a client with everything that it was allowed."""
    # The client, its devices, its grants: the order in which approving and polling lock them too.
    await store.hold_client(tx, client_id)
    await device_store.delete_of_client(tx, client_id)
    await _revoke(tx, policy, grants.c.client_id == client_id, "client_deleted", origin)
    await store.delete_client(tx, client_id)
    await record(tx, "client.deleted", origin, client_id=client_id)


async def _revoke(
    tx: Transaction, policy: Policy, which: sa.ColumnElement[bool], because: str, origin: Origin
) -> int:
    revoked = await grant_store.revoke_grants(tx, which, because, origin.now)
    # Tokens that are out may be of a time when they lived longer than new ones do.
    lifetime = policy.longest_access_token_lifetime
    keep_until = origin.now + lifetime + MARGIN
    # Grants whose last token has expired need no entry; most of a client's grants are such.
    recent = origin.now - lifetime - MARGIN
    live = [
        grant.grant_id
        for grant in revoked
        if grant.last_issued_at is not None and grant.last_issued_at > recent
    ]
    await grant_store.add_revocations(tx, "grant", live, origin.now, keep_until)
    whose = [(grant.grant_id, grant.user_id, grant.client_id) for grant in revoked]
    await record_grants_revoked(tx, origin, because, whose)
    return len(revoked)


def _check_owner(client: Client, client_id: str) -> None:
    if client.client_id != client_id:
        raise InvalidRequest(
            "The token belongs to another client.", reason="foreign_token", client_id=client.client_id
        )
