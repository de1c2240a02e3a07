"""Who people are at trusted issuers: found by what the issuer calls them, linked once, made on demand."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.accounts import store
from app.accounts.records import Identity, User
from app.audit import Origin, record
from app.database import Transaction
from app.oauth.credentials import mint_id

_NOT_IN_USERNAMES = re.compile(r"[^a-z0-9._@+-]+")
_LONGEST = 200


async def find_vouched_user(
    tx: Transaction, issuer: str, claims: Mapping[str, Any], origin: Origin, *, create: bool
) -> User | None:
    """The person whom this issuer calls `sub`.

    The first time, an account with the same e-mail address is linked, if the issuer says that it verified the address;
    else one is made where `create` allows it. It has no password: only the issuer can vouch for this person.
    """
    subject = str(claims["sub"])
    await tx.lock(f"identity {issuer} {subject}")
    found = await store.find_identity(tx, issuer, subject)
    if found is not None:
        await store.note_identity_used(tx, found, origin.now)
        return await store.find_user(tx, found.user_id, hold=True)
    user = await _by_email(tx, claims) or (await create_user(tx, claims, origin) if create else None)
    if user is None:
        return None
    await store.add_identity(tx, Identity(issuer, subject, user.id, origin.now, origin.now))
    await record(tx, "user.linked", origin, reason=issuer, user_id=user.id)
    return await store.find_user(tx, user.id, hold=True)


async def _by_email(tx: Transaction, claims: Mapping[str, Any]) -> User | None:
    """The one account with this address; one that two share, or that can't be shown, names nobody."""
    email = claims.get("email")
    if not isinstance(email, str) or not email.isprintable() or claims.get("email_verified") is not True:
        return None
    users = await store.find_users_by_email(tx, email)
    return users[0] if len(users) == 1 else None


async def create_user(tx: Transaction, claims: Mapping[str, Any], origin: Origin) -> User:
    """Somebody new, as a provider describes them; without a password."""
    email = _text(claims, "email") if claims.get("email_verified") is True else None
    username = _NOT_IN_USERNAMES.sub("-", _text(claims, "preferred_username", "email", "name").lower())[:50]
    username = username.strip("._@+-") or "person"
    user = User(
        id=mint_id("user_"),
        username=username,
        name=_text(claims, "name", "preferred_username", "email") or username,
        email=email or None,
        password_hash=None,
        is_admin=False,
        created_at=origin.now,
        password_changed_at=origin.now,
        last_sign_in_at=None,
        disabled_at=None,
    )
    if await store.find_user_by_username(tx, username) is not None:
        # Someone else has the name already; whose it is can't be told, so this person gets another.
        user = replace(user, username=f"{username}-{mint_id('')[:8]}")
    await store.add_user(tx, user)
    await record(tx, "user.created", origin, user_id=user.id)
    return user


def _text(claims: Mapping[str, Any], *names: str) -> str:
    """The first of these claims that is a text that can be shown; empty without one."""
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value.strip()[:_LONGEST]
    return ""
