"""What an operator does with accounts: create, disable, enable, set a password, make the first admin."""

import re
from dataclasses import dataclass

from app.accounts import link_store, store
from app.accounts.passwords import MAXIMUM_LENGTH, MINIMUM_LENGTH, Passwords
from app.accounts.records import User
from app.audit import Origin, record
from app.database import Transaction
from app.mail import read_address
from app.oauth.credentials import mint_id

_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?\Z")
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,190}\Z")  # printable ASCII, one @


class Refused(Exception):
    """An account can't be made or changed like this; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class NewUser:
    """What an operator tells about someone; without a password they can't sign in before they chose one."""

    username: str
    password: str | None
    name: str | None = None
    email: str | None = None
    is_admin: bool = False
    is_auditor: bool = False


async def create_user(tx: Transaction, passwords: Passwords, new: NewUser, origin: Origin) -> User:
    """Make an account.

    Raises:
        Refused: the name is taken or malformed, the e-mail malformed, or the password too short.
    """
    username = new.username.strip().lower()
    if not _USERNAME.match(username):
        raise Refused(
            "A user name has 1 to 64 letters, digits or . _ @ + - and starts and ends with a letter or digit."
        )
    if new.email is not None:
        check_email(new.email)
    name = (new.name or username).strip()
    if not name or len(name) > 200 or not name.isprintable():
        raise Refused("A name has 1 to 200 printable characters.")
    user = User(
        id=mint_id("user_"),
        username=username,
        name=name,
        email=new.email,
        password_hash=None if new.password is None else await hash_of(passwords, new.password),
        is_admin=new.is_admin,
        created_at=origin.now,
        password_changed_at=origin.now,
        last_sign_in_at=None,
        disabled_at=None,
        is_auditor=new.is_auditor,
    )
    try:
        await store.add_user(tx, user)
    except store.UsernameTaken:
        raise Refused(f"The user name {username} is taken.") from None
    await record(tx, "user.created", origin, user_id=user.id)
    return user


def check_email(email: str) -> None:
    """See that letters can be sent there.

    Raises:
        Refused
    """
    try:
        readable = _EMAIL.match(email) and read_address(email)
    except ValueError:
        readable = None
    if not readable:
        raise Refused("The e-mail address is not an address.")


async def create_first_admin(
    tx: Transaction, passwords: Passwords, new: NewUser, origin: Origin
) -> User | None:
    """Make this admin unless there is one already; several processes may start at once."""
    await tx.lock("first-admin")
    if await store.admin_exists(tx):
        return None
    return await create_user(tx, passwords, new, origin)


async def disable_user(tx: Transaction, user: User, origin: Origin) -> None:
    """Disable an account, end its sessions and withdraw its links. The grants are the authorization server's to
    revoke.
    """
    await store.set_disabled(tx, user.id, origin.now)
    await store.delete_sessions_of(tx, user.id)
    await link_store.withdraw_links(tx, user.id)
    await record(tx, "user.disabled", origin, user_id=user.id)


async def enable_user(tx: Transaction, user: User, origin: Origin) -> None:
    """Let a disabled person sign in again."""
    await store.set_disabled(tx, user.id, None)
    await record(tx, "user.enabled", origin, user_id=user.id)


async def hash_of(passwords: Passwords, password: str) -> str:
    """The hash of a password that someone chose.

    Raises:
        Refused: it is too short.
    """
    return await passwords.hash(_checked(password))


async def change_password(tx: Transaction, user: User, password_hash: str, origin: Origin) -> None:
    """Set the password that its owner chose, who showed that they know the one from before."""
    await _set_password_hash(tx, user, password_hash, origin)
    await record(tx, "user.password_changed", origin, user_id=user.id)


async def replace_password(tx: Transaction, user: User, password_hash: str, origin: Origin) -> None:
    """Set a password without the one from before, and sign the person out everywhere. The caller records why."""
    await _set_password_hash(tx, user, password_hash, origin)
    await store.delete_sessions_of(tx, user.id)


async def reset_password(
    tx: Transaction, passwords: Passwords, user: User, password: str, origin: Origin
) -> None:
    """Set a new password and sign the person out everywhere.

    Raises:
        Refused: the password is too short.
    """
    await replace_password(tx, user, await hash_of(passwords, password), origin)
    await record(tx, "user.password_reset", origin, user_id=user.id)


async def _set_password_hash(tx: Transaction, user: User, password_hash: str, origin: Origin) -> None:
    """Links that somebody asked for before, whoever that was, open nothing any more."""
    await store.set_password_hash(tx, user.id, password_hash, origin.now)
    await link_store.withdraw_links(tx, user.id)


def _checked(password: str) -> str:
    if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
        raise Refused(f"A password has {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters.")
    if "\x00" in password or any("\ud800" <= letter <= "\udfff" for letter in password):
        raise Refused("The password holds a character that can't be typed.")
    return password
