"""Signing keys: made at the first start, sealed at rest, parsed once, shared by every replica."""

from datetime import datetime, timedelta
from typing import Any

from app.authorization_server import store
from app.authorization_server.records import StoredSigningKey
from app.database import Database, Transaction
from app.oauth import jwt
from app.oauth.credentials import Keys

_PURPOSE = "signing-key"
# A retired key verifies as long as a token that it signed may live, and longer than any cache of the JWK set.
OVERLAP = timedelta(days=1)


class UnreadableKeys(Exception):
    """The stored signing keys don't open with this SECRET_KEY."""


class SigningKeys:
    """The keys of this process: one that signs, and all that verify."""

    def __init__(self, signing: jwt.SigningKey, verification: dict[str, jwt.VerificationKey]) -> None:
        self.signing = signing
        self.verification = verification

    def jwks(self) -> dict[str, Any]:
        """The JWK set (RFC 7517 §5)."""
        return {"keys": [jwt.public_jwk(key.kid, key.key) for key in self.verification.values()]}


async def load(database: Database, keys: Keys, now: datetime) -> SigningKeys:
    """Read the keys, or make the first one; replicas that start together agree on it.

    Raises:
        UnreadableKeys: SECRET_KEY is not the one that they were sealed with.
    """
    async with database.transaction() as tx:
        stored = await _published(tx, now)
        if not any(key.retired_at is None for key in stored):
            await tx.lock("signing-keys")
            stored = await _published(tx, now)
            if not any(key.retired_at is None for key in stored):
                stored.insert(0, await _add_key(tx, keys, now))
        opened = {key.kid: await _open(tx, keys, key) for key in stored}
    newest = next(key for key in stored if key.retired_at is None)
    verification = {key.kid: jwt.import_verification_key(key.public_jwk) for key in stored}
    return SigningKeys(jwt.import_signing_key(newest.kid, opened[newest.kid]), verification)


async def _published(tx: Transaction, now: datetime) -> list[StoredSigningKey]:
    return [key for key in await store.list_signing_keys(tx) if _is_published(key, now)]


async def _open(tx: Transaction, keys: Keys, key: StoredSigningKey) -> str:
    """The private key; sealed anew when it was sealed under the previous SECRET_KEY."""
    present, *previous = keys.encryption_keys(_PURPOSE)
    if (private := jwt.try_unseal(key.private_jwk_sealed, present)) is not None:
        return private
    try:
        private = jwt.unseal(key.private_jwk_sealed, previous)
    except jwt.InvalidJWT:
        raise UnreadableKeys(
            "The signing keys in the database were sealed with another SECRET_KEY: set that one, or give it as"
            " SECRET_KEY_PREVIOUS."
        ) from None
    await store.reseal_signing_key(tx, key.kid, jwt.seal(private, present))
    return private


async def _add_key(tx: Transaction, keys: Keys, now: datetime) -> StoredSigningKey:
    key = jwt.generate_signing_key()
    stored = StoredSigningKey(
        kid=key.kid,
        algorithm=jwt.ALGORITHM,
        public_jwk=key.public_jwk,
        private_jwk_sealed=jwt.seal(jwt.export_signing_key(key), keys.encryption_keys(_PURPOSE)[0]),
        created_at=now,
        retired_at=None,
    )
    await store.add_signing_key(tx, stored)
    return stored


def _is_published(key: StoredSigningKey, now: datetime) -> bool:
    return key.retired_at is None or now < key.retired_at + OVERLAP
