"""Initial access tokens: what an operator hands out so that someone may register (RFC 7591 §3).

Refuses, in this order:
 1. an unknown token                        invalid_token
 2. one that the operator took back         invalid_token
 3. one whose time is over                  invalid_token
 4. one that was used as often as it may    invalid_token
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.audit import Origin, record
from app.authorization_server import initial_access_token_store as store
from app.authorization_server.records import InitialAccessToken
from app.database import Transaction
from app.oauth.credentials import INITIAL_ACCESS_TOKEN, Keys, mint, mint_id
from app.oauth.errors import InvalidToken


@dataclass(frozen=True, slots=True)
class Presented:
    """An initial access token that is good, and not spent yet."""

    token: InitialAccessToken
    secret: str


async def check(tx: Transaction, keys: Keys, secret: str, now: datetime) -> Presented:
    """The token that is presented; nothing is taken from it yet.

    Raises:
        InvalidToken: as the head of this file says.
    """
    token = await store.find(tx, keys.hashes(secret))
    reason = _refusal(token, now)
    if token is None or reason is not None:
        raise _not_good(reason)
    return Presented(token, secret)


async def spend(tx: Transaction, keys: Keys, presented: Presented, now: datetime) -> None:
    """Take one use from it; of many who present the last use at once, one gets it.

    Raises:
        InvalidToken: someone was faster.
    """
    # Hashed anew: it may have been proven under SECRET_KEY_PREVIOUS, which is to go one day.
    hashed = keys.hash(presented.secret)
    if not await store.spend(tx, presented.token.id, hashed, now):
        raise _not_good("initial_token_used_up")


async def create(
    tx: Transaction,
    keys: Keys,
    label: str | None,
    uses: int | None,
    lifetime: timedelta | None,
    origin: Origin,
) -> tuple[InitialAccessToken, str]:
    """Make a token for so many registrations within this time, or any; returns it with what is shown once."""
    secret = mint(INITIAL_ACCESS_TOKEN)
    token = InitialAccessToken(
        id=mint_id("initial_"),
        token_hash=keys.hash(secret),
        label=label,
        uses_left=uses,
        created_at=origin.now,
        expires_at=origin.now + lifetime if lifetime else None,
    )
    await store.add(tx, token)
    await record(tx, "initial_access_token.created", origin, reason=token.id)
    return token, secret


async def revoke(tx: Transaction, token_id: str, origin: Origin) -> InitialAccessToken | None:
    """Take a token back; who registered with it stays. None when there is no such token."""
    if await store.revoke(tx, token_id, origin.now):
        await record(tx, "initial_access_token.revoked", origin, reason=token_id)
    return await store.get(tx, token_id)


def _refusal(token: InitialAccessToken | None, now: datetime) -> str | None:
    if token is None:
        return "unknown_initial_token"
    if token.revoked_at is not None:
        return "initial_token_revoked"
    if token.expires_at is not None and now >= token.expires_at:
        return "initial_token_expired"
    return "initial_token_used_up" if token.uses_left == 0 else None


def _not_good(reason: str | None) -> InvalidToken:
    return InvalidToken("The initial access token is not good here.", reason=reason)
