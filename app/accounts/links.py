"""Links that let their holder choose a password, or prove an address: handed out by an operator, or sent by e-mail.

A link is good once and for a while. A newer one of the same kind withdraws the older, a change of the password
withdraws all of them, and somebody who is disabled neither gets one nor uses one. What a link was sent to is proven
when it is used: nobody else can know it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.accounts import link_store, people, store
from app.accounts.records import AccountLink, User
from app.audit import Origin, record
from app.database import Transaction
from app.oauth.credentials import LINK, Keys, mint


class Purpose(StrEnum):
    """What a link is good for."""

    INVITATION = "invitation"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a kind of link, not a password
    EMAIL = "email"


LIFETIMES = {
    Purpose.INVITATION: timedelta(days=7),
    Purpose.PASSWORD_RESET: timedelta(hours=1),
    Purpose.EMAIL: timedelta(hours=24),
}
_LONGEST = 100


class NotGood(Exception):
    """A link lets nobody in; `reason` is for the record, as is whom it was for."""

    def __init__(self, reason: str, user_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class Issued:
    """A new link: the secret at the end of its address, which nobody is told again, and until when it is good."""

    token: str
    expires_at: datetime


def needed_by(user: User) -> Purpose:
    """Which link lets this person choose a password: an invitation, until they were here for the first time."""
    joined = user.password_hash is not None or user.last_sign_in_at is not None
    return Purpose.PASSWORD_RESET if joined else Purpose.INVITATION


async def issue(
    tx: Transaction, keys: Keys, user: User, purpose: Purpose, origin: Origin, *, email: str | None = None
) -> Issued:
    """Make a link, and withdraw the one of its kind that this person had.

    Args:
        email: the address that it is sent to and to no other place; None where an operator hands it over.

    Raises:
        Refused: this person is disabled, or gone.
    """
    held = await store.hold_user(tx, user.id)
    if held is None or held.disabled_at is not None:
        raise people.Refused(f"{user.username} is disabled, so no link is made.")
    await link_store.withdraw_links(tx, user.id, [purpose])
    token = mint(LINK)
    link = AccountLink(
        token_hash=keys.hash(token),
        purpose=purpose,
        user_id=user.id,
        email=email,
        created_by=origin.actor_id or ("cli" if origin.source == "cli" else None),
        created_at=origin.now,
        expires_at=origin.now + LIFETIMES[purpose],
    )
    await link_store.add_link(tx, link)
    if purpose is Purpose.INVITATION:
        await record(tx, "user.invited", origin, user_id=user.id)
    elif purpose is Purpose.PASSWORD_RESET:
        await record(tx, "user.reset_link_made", origin, user_id=user.id)
    else:
        await record(tx, "user.email_link_made", origin, user_id=user.id)
    return Issued(token, link.expires_at)


async def find(tx: Transaction, keys: Keys, token: str, origin: Origin) -> tuple[AccountLink, User]:
    """A link that is still good, and whose it is. Nothing is used up: programs that look through mail open links too.

    Raises:
        NotGood
    """
    link = await link_store.find_link(tx, keys.hashes(token)) if len(token) <= _LONGEST else None
    if link is None:
        raise NotGood("link_unknown")
    if link.used_at is not None:
        raise NotGood("link_used", link.user_id)
    if link.expires_at <= link.created_at:
        raise NotGood("link_withdrawn", link.user_id)
    if origin.now >= link.expires_at:
        raise NotGood("link_expired", link.user_id)
    return link, _check_owner(await store.find_user(tx, link.user_id), link)


async def set_password(
    tx: Transaction, keys: Keys, token: str, password_hash: str, origin: Origin
) -> tuple[AccountLink, User]:
    """Use up an invitation or a reset link: the person has this password and is signed out everywhere.

    Raises:
        NotGood
    """
    link, user = await _spend(tx, keys, token, origin)
    await people.replace_password(tx, user, password_hash, origin)
    if link.purpose == Purpose.INVITATION:
        await record(tx, "user.joined", origin, user_id=user.id)
    else:
        await record(tx, "user.password_reset", origin, user_id=user.id)
    if link.email is not None and link.email == user.email and user.email_verified_at is None:
        await _verify(tx, user, link.email, origin)
    return link, user


async def confirm_email(tx: Transaction, keys: Keys, token: str, origin: Origin) -> tuple[AccountLink, User]:
    """Use up a link that was sent to an address: from now on it is this person's. The person is as they were before.

    Raises:
        NotGood
    """
    link, user = await _spend(tx, keys, token, origin)
    email = link.email or ""
    if email != user.email:
        await record(tx, "user.email_changed", origin, user_id=user.id)
    await _verify(tx, user, email, origin)
    return link, user


async def _spend(tx: Transaction, keys: Keys, token: str, origin: Origin) -> tuple[AccountLink, User]:
    """One statement decides who of many was first; its owner stays as they are until the transaction ends."""
    found, owner = await find(tx, keys, token, origin)
    held = _check_owner(await store.hold_user(tx, owner.id), found)
    link = await link_store.spend_link(tx, found.token_hash, origin.now)
    if link is None:
        raise NotGood("link_used", owner.id)
    return link, held


def _check_owner(user: User | None, link: AccountLink) -> User:
    if user is None or user.disabled_at is not None:
        raise NotGood("user_disabled", link.user_id)
    return user


async def _verify(tx: Transaction, user: User, email: str, origin: Origin) -> None:
    await store.set_email(tx, user.id, email, origin.now)
    await record(tx, "user.email_verified", origin, user_id=user.id)
