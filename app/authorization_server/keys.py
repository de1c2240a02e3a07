"""Signing keys: made at the first start, sealed at rest, parsed once, shared by every replica, and rotated.

A new key is published before it signs, so that every process and every resource server elsewhere knows it by then;
the old one verifies for as long as a token that it signed may live. What a key does at an instant follows from its
row alone, so processes need not agree on anything but the time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.audit import Origin, record
from app.authorization_server import store
from app.authorization_server.records import StoredSigningKey
from app.clock import Clock
from app.database import Database, DatabaseUnavailable, Transaction, undisturbed
from app.oauth import jwt
from app.oauth.credentials import Keys

log = logging.getLogger(__name__)
KEYS_CHANNEL = "ostiary_signing_keys"
_PURPOSE = "signing-key"
# A retired key verifies as long as a token that it signed may live, and longer than any cache of the JWK set.
OVERLAP = timedelta(days=1)
# Longer than caches keep the JWK set, and much longer than the other processes need to learn of it.
PUBLISHED_AHEAD = timedelta(minutes=10)
_READ_AGAIN_EVERY = timedelta(seconds=10)
_LOCK = "signing-keys"


class UnreadableKeys(Exception):
    """The stored signing keys don't open with this SECRET_KEY."""


class AlreadyRotating(Exception):
    """A new key waits to sign; the next rotation comes after it."""


class SigningKeys:
    """The keys of this process: those that sign, each from its time on, and all that verify."""

    def __init__(self, stored: Sequence[StoredSigningKey], private: Sequence[jwt.SigningKey]) -> None:
        self.take(stored, private)

    def take(self, stored: Sequence[StoredSigningKey], private: Sequence[jwt.SigningKey]) -> None:
        """Work with these keys from now on."""
        pairs = sorted(zip(stored, private, strict=True), key=lambda pair: pair[0].begins_at)
        self._signing = [(key.begins_at, opened) for key, opened in pairs]
        self.verification = {key.kid: jwt.import_verification_key(key.public_jwk) for key in stored}

    def signing_at(self, now: datetime) -> jwt.SigningKey:
        """The key that signs at this instant: the newest whose time has come."""
        begun = [key for begins_at, key in self._signing if begins_at <= now]
        # A clock that is behind the one that made the only key still signs with it.
        return begun[-1] if begun else self._signing[0][1]

    @property
    def newest_since(self) -> datetime:
        """When the newest key began to sign, or will."""
        return self._signing[-1][0]

    def jwks(self) -> dict[str, Any]:
        """The JWK set (RFC 7517 §5)."""
        return {"keys": [jwt.public_jwk(key.kid, key.key) for key in self.verification.values()]}


async def load(database: Database, keys: Keys, now: datetime) -> SigningKeys:
    """Read the keys, or make the first one; replicas that start together agree on it.

    Raises:
        UnreadableKeys: SECRET_KEY is not the one that they were sealed with.
    """
    return SigningKeys(*await _read(database, keys, now))


async def follow(
    held: SigningKeys,
    database: Database,
    keys: Keys,
    clock: Clock,
    news: asyncio.Event,
    lifetime: timedelta | None = None,
) -> None:
    """Read the keys again when there is news, and every few seconds: news can be missed. Runs until cancelled.

    Args:
        lifetime: how long a key signs before it is rotated by itself; None: as long as nobody rotates it.
    """
    while True:
        try:
            held.take(*await undisturbed(_read(database, keys, clock.now())))
            if lifetime is not None and clock.now() >= held.newest_since + lifetime:
                await undisturbed(_rotate_when_due(database, keys, clock.now(), lifetime))
        except (DatabaseUnavailable, UnreadableKeys) as error:
            log.warning("The signing keys could not be read again: %s", error)
        except Exception:
            # Whatever it was: a process that stopped reading would go on with keys that were distrusted.
            log.exception("The signing keys could not be read again")
        # Not wait_for: before Python 3.12 it can swallow a cancellation that comes with the news.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READ_AGAIN_EVERY.total_seconds()):
                await news.wait()
        news.clear()


async def rotate(
    tx: Transaction,
    keys: Keys,
    origin: Origin,
    after: timedelta = PUBLISHED_AHEAD,
    *,
    distrust: bool = False,
) -> StoredSigningKey:
    """Make a key that signs after a while, when the present ones retire.

    Args:
        after: how long it is published before it signs.
        distrust: the present keys are known to others: the new one signs at once, and nothing that they signed
            counts any more.

    Raises:
        AlreadyRotating: the last new key does not sign yet.
        UnreadableKeys: SECRET_KEY is not that of the servers, which could never read what would be made here.
    """
    await tx.lock(_LOCK)
    now = origin.now
    present = [key for key in await store.list_signing_keys(tx) if is_published(key, now)]
    for key in present:
        await _open(tx, keys, key)
    if not distrust and any(key.begins_at > now for key in present):
        raise AlreadyRotating
    begins_at = now if distrust else now + after
    made = await _add_key(tx, keys, now, begins_at)
    for key in present:
        if distrust:
            await store.retire_signing_key(tx, replace(key, retired_at=now, accepted_until=now))
        elif key.retired_at is None:
            until = begins_at + OVERLAP
            await store.retire_signing_key(tx, replace(key, retired_at=begins_at, accepted_until=until))
    await record(tx, "signing_key.distrusted" if distrust else "signing_key.rotated", origin, reason=made.kid)
    await tx.notify(KEYS_CHANNEL, made.kid)
    return made


async def _rotate_when_due(database: Database, keys: Keys, now: datetime, lifetime: timedelta) -> None:
    """Of all processes that find a key too old at the same moment, one rotates."""
    async with database.transaction() as tx:
        await tx.lock(_LOCK)
        newest = max(key.begins_at for key in await _published(tx, now))
        if now >= newest + lifetime:
            await rotate(tx, keys, Origin(now, "rotation"))


def state_of(key: StoredSigningKey, now: datetime) -> str:
    """What a key does at this instant: `waiting`, `signing`, `verifying` or `over`."""
    if not is_published(key, now):
        return "over"
    if key.begins_at > now:
        return "waiting"
    return "signing" if key.retired_at is None or now < key.retired_at else "verifying"


def is_published(key: StoredSigningKey, now: datetime) -> bool:
    """Whether it stands in the JWK set."""
    return key.accepted_until is None or now < key.accepted_until


async def _read(
    database: Database, keys: Keys, now: datetime
) -> tuple[Sequence[StoredSigningKey], Sequence[jwt.SigningKey]]:
    async with database.transaction() as tx:
        stored = await _published(tx, now)
        if not any(key.retired_at is None for key in stored):
            await tx.lock(_LOCK)
            stored = await _published(tx, now)
            if not any(key.retired_at is None for key in stored):
                stored.insert(0, await _add_key(tx, keys, now, now))
        opened = [jwt.import_signing_key(key.kid, await _open(tx, keys, key)) for key in stored]
    return stored, opened


async def _published(tx: Transaction, now: datetime) -> list[StoredSigningKey]:
    return [key for key in await store.list_signing_keys(tx) if is_published(key, now)]


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


async def _add_key(tx: Transaction, keys: Keys, now: datetime, signs_from: datetime) -> StoredSigningKey:
    key = jwt.generate_signing_key()
    stored = StoredSigningKey(
        kid=key.kid,
        algorithm=jwt.ALGORITHM,
        public_jwk=key.public_jwk,
        private_jwk_sealed=jwt.seal(jwt.export_signing_key(key), keys.encryption_keys(_PURPOSE)[0]),
        created_at=now,
        retired_at=None,
        signs_from=signs_from,
    )
    await store.add_signing_key(tx, stored)
    return stored
