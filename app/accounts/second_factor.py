"""The second factor of a sign-in: who has one, who must, and sign-ins that wait for it.

A sign-in waits in the browser that began it, for ten minutes and five tries. It ends with the account's password, with
its right to sign in, and with the first answer that is right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.accounts import factor_store, one_time_codes, passkeys, store
from app.accounts.records import Authenticator, Passkey, PendingSignIn, User
from app.accounts.sign_in import SignedIn
from app.audit import Origin, record
from app.database import Transaction
from app.oauth.credentials import Keys, TokenHash, mint_id

# More than one factor was shown (RFC 8176 §2).
MULTIPLE = "mfa"
WITHIN = timedelta(minutes=10)
TRIES = 5


class SecondFactor(StrEnum):
    """Of whom a second factor is demanded."""

    OPTIONAL = "optional"
    OPERATORS = "operators"
    EVERYONE = "everyone"

    def is_demanded_of(self, user: User) -> bool:
        """Whether this person must have one."""
        return self is SecondFactor.EVERYONE or (
            self is SecondFactor.OPERATORS and (user.is_admin or user.is_auditor)
        )


class Needed(Exception):
    """A second factor can't be removed; the message is one sentence or two for the person."""


class TooManyTries(Exception):
    """This sign-in had all its tries."""


@dataclass(frozen=True, slots=True)
class Factors:
    """What someone has besides the password."""

    passkeys: Sequence[Passkey]
    authenticator: Authenticator | None
    recovery_codes_left: int

    @property
    def count(self) -> int:
        """How many second factors; recovery codes only stand in for one."""
        return len(self.passkeys) + (self.authenticator is not None)


async def factors_of(tx: Transaction, user_id: str) -> Factors:
    """All of someone's second factors."""
    return Factors(
        await factor_store.list_passkeys(tx, user_id),
        await factor_store.find_authenticator(tx, user_id),
        await factor_store.count_recovery_codes(tx, user_id),
    )


async def is_awaited(tx: Transaction, user_id: str, methods: Sequence[str]) -> bool:
    """Whether a sign-in by these methods goes on with a second factor: one was not shown, and the person has one."""
    return MULTIPLE not in methods and await factor_store.has_second_factor(tx, user_id)


async def begin(
    tx: Transaction,
    keys: Keys,
    user: User,
    browser_id: str,
    methods: Sequence[str],
    onward: str,
    origin: Origin,
) -> str:
    """Let a sign-in wait whose first factor was right; returns its id, which is of use in this browser alone."""
    pending_id = mint_id("sign_in_")
    pending = PendingSignIn(
        id_hash=keys.hash(pending_id),
        browser_hash=keys.hash(browser_id),
        user_id=user.id,
        methods=" ".join(methods),
        onward=onward,
        tries=0,
        created_at=origin.now,
        expires_at=origin.now + WITHIN,
    )
    await factor_store.add_pending_sign_in(tx, pending)
    return pending_id


async def find(
    tx: Transaction, keys: Keys, pending_id: str, browser_hashes: Sequence[TokenHash], origin: Origin
) -> tuple[PendingSignIn, User] | None:
    """What waits in this browser, and whose it is; None when it is over, or they may no longer sign in like this.

    It stays so until the transaction ends.
    """
    pending = await factor_store.find_pending_sign_in(tx, keys.hashes(pending_id), browser_hashes)
    if pending is None or origin.now >= pending.expires_at:
        return None
    user = await store.hold_user(tx, pending.user_id)
    if user is None or user.disabled_at is not None or user.password_changed_at > pending.created_at:
        return None
    return pending, user


async def count_try(tx: Transaction, pending: PendingSignIn) -> None:
    """Count a try before it is made, so that many at once don't slip through.

    Raises:
        TooManyTries
    """
    if not await factor_store.count_try(tx, pending.id_hash, TRIES):
        raise TooManyTries


async def finish(tx: Transaction, pending: PendingSignIn) -> None:
    """End the waiting: its try was counted, so nobody else is at it until the transaction ends."""
    await factor_store.delete_pending_sign_in(tx, pending.id_hash)


async def end_lesser_sessions(tx: Transaction, signed_in: SignedIn, origin: Origin) -> int:
    """Sign the person out where they showed one factor only, now that they have a second one; in how many browsers.

    They were held when the second factor was stored: a sign-in beside this is over by now, or asks for it.
    """
    lesser = [
        session.id_hash
        for session in await store.list_sessions(tx, signed_in.user.id)
        if MULTIPLE not in session.methods.split() and session.id_hash != signed_in.session_hash
    ]
    if lesser:
        await store.delete_sessions(tx, lesser)
        await record(tx, "user.signed_out_elsewhere", origin, user_id=signed_in.user.id)
    return len(lesser)


async def remove_passkey(
    tx: Transaction, user: User, credential_id: str, demanded: SecondFactor, origin: Origin
) -> None:
    """Forget a passkey of theirs; what is not theirs stays as it is.

    Raises:
        Needed: they could not sign in any more, or lack the second factor that they must have.
    """
    left = await _without_one(tx, user, demanded)
    if user.password_hash is None and len(left.passkeys) == 1:
        raise Needed("You have no password, so this passkey is your only way in. Add another one first.")
    if await passkeys.remove(tx, user.id, credential_id, origin) and left.count == 1:
        await factor_store.replace_recovery_codes(tx, user.id, ())


async def remove_authenticator(tx: Transaction, user: User, demanded: SecondFactor, origin: Origin) -> None:
    """Forget their app for one-time codes.

    Raises:
        Needed: they lack the second factor that they must have.
    """
    left = await _without_one(tx, user, demanded)
    if await one_time_codes.remove(tx, user.id, origin) and left.count == 1:
        await factor_store.replace_recovery_codes(tx, user.id, ())


async def _without_one(tx: Transaction, user: User, demanded: SecondFactor) -> Factors:
    """All that they have, of which one goes. Nobody else removes one meanwhile."""
    await tx.lock(f"factors {user.id}")
    factors = await factors_of(tx, user.id)
    if demanded.is_demanded_of(user) and factors.count == 1:
        raise Needed(
            "This server asks you for a second factor, and this is the only one. Add another one first."
        )
    return factors


async def reset(tx: Transaction, user: User, origin: Origin) -> None:
    """Remove everything but the password of someone who lost the rest, and sign them out everywhere."""
    await factor_store.delete_second_factors(tx, user.id)
    await store.delete_sessions_of(tx, user.id)
    await record(tx, "user.second_factor_reset", origin, user_id=user.id)
