"""Every statement about people and sessions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.accounts.records import Device, Identity, Session, User
from app.accounts.tables import devices, identities, pending_sign_ins, sessions, users
from app.database import Transaction
from app.oauth.credentials import TokenHash
from app.rows import values_of

_MOST_REACHED = 5


class UsernameTaken(Exception):
    """Someone has this name already."""


async def add_user(tx: Transaction, user: User) -> None:
    """Store a new person.

    Raises:
        UsernameTaken: the name is in use.
    """
    try:
        await tx.execute(users.insert(), values_of(user))
    except IntegrityError:
        raise UsernameTaken(user.username) from None


async def find_user(tx: Transaction, user_id: str, *, hold: bool = False) -> User | None:
    """The person with this id; `hold` keeps the row as it is until the transaction ends."""
    statement = sa.select(users).where(users.c.id == user_id)
    if hold:
        statement = statement.with_for_update(read=True)
    row = (await tx.execute(statement)).one_or_none()
    return User(**row._mapping) if row else None


async def hold_user(tx: Transaction, user_id: str) -> User | None:
    """The person with this id, who signs in nowhere else, and does not change, until the transaction ends. A sign-in
    writes to the row: were it only read first, two at once would each wait for the other.
    """
    statement = sa.select(users).where(users.c.id == user_id).with_for_update(key_share=True)
    row = (await tx.execute(statement)).one_or_none()
    return User(**row._mapping) if row else None


async def find_user_by_username(tx: Transaction, username: str) -> User | None:
    """The person with this name, which is compared in lower case."""
    row = (await tx.execute(sa.select(users).where(users.c.username == username.lower()))).one_or_none()
    return User(**row._mapping) if row else None


async def find_users(tx: Transaction, ids: Collection[str]) -> Sequence[User]:
    """Those of these people who are there."""
    if not ids:
        return []
    return [User(**row._mapping) for row in await tx.execute(sa.select(users).where(users.c.id.in_(ids)))]


async def find_users_by_email(tx: Transaction, email: str) -> Sequence[User]:
    """Everyone with this address, which is compared in lower case; two at most."""
    same = sa.func.lower(users.c.email) == email.lower()
    return [User(**row._mapping) for row in await tx.execute(sa.select(users).where(same).limit(2))]


async def find_users_reached_by(tx: Transaction, typed: str) -> Sequence[User]:
    """Who may be sent a link to a new password when somebody types this name or address: they have a password, may sign
    in, and confirmed their address. A few at most.
    """
    named = sa.or_(users.c.username == typed.lower(), sa.func.lower(users.c.email) == typed.lower())
    reached = [
        users.c.disabled_at.is_(None),
        users.c.password_hash.is_not(None),
        users.c.email_verified_at.is_not(None),
    ]
    statement = sa.select(users).where(named, *reached).order_by(users.c.username).limit(_MOST_REACHED)
    return [User(**row._mapping) for row in await tx.execute(statement)]


async def find_identity(tx: Transaction, issuer: str, subject: str) -> Identity | None:
    """Who somebody is whom this issuer calls so."""
    same = sa.and_(identities.c.issuer == issuer, identities.c.subject == subject)
    row = (await tx.execute(sa.select(identities).where(same))).one_or_none()
    return Identity(**row._mapping) if row else None


async def add_identity(tx: Transaction, identity: Identity) -> None:
    """Remember who an issuer vouches for."""
    await tx.execute(identities.insert(), values_of(identity))


async def note_identity_used(tx: Transaction, identity: Identity, now: datetime) -> None:
    """Remember when an issuer last vouched for someone."""
    same = sa.and_(identities.c.issuer == identity.issuer, identities.c.subject == identity.subject)
    await tx.execute(sa.update(identities).where(same).values(last_used_at=now))


async def list_usernames(tx: Transaction, ids: Collection[str]) -> Mapping[str, str]:
    """The names to sign in with, by id; people who were deleted are missing."""
    rows = await tx.execute(sa.select(users.c.id, users.c.username).where(users.c.id.in_(ids)))
    return {row.id: row.username for row in rows}


async def list_users(tx: Transaction) -> Sequence[User]:
    """Everyone, by name."""
    rows = await tx.execute(sa.select(users).order_by(users.c.username))
    return [User(**row._mapping) for row in rows]


async def admin_exists(tx: Transaction) -> bool:
    """Whether anyone operates this server yet."""
    return bool((await tx.execute(sa.select(sa.exists().where(users.c.is_admin)))).scalar())


async def other_admin_exists(tx: Transaction, user_id: str) -> bool:
    """Whether anyone else operates this server and may sign in."""
    other = sa.exists().where(users.c.is_admin, users.c.disabled_at.is_(None), users.c.id != user_id)
    return bool((await tx.execute(sa.select(other))).scalar())


async def set_rights(tx: Transaction, user_id: str, *, is_admin: bool, is_auditor: bool) -> None:
    """Store what someone may do with this server."""
    values = {"is_admin": is_admin, "is_auditor": is_auditor}
    await tx.execute(sa.update(users).where(users.c.id == user_id).values(values))


async def delete_user(tx: Transaction, user_id: str) -> None:
    """Remove someone with all that is theirs."""
    await tx.execute(sa.delete(users).where(users.c.id == user_id))


async def set_disabled(tx: Transaction, user_id: str, disabled_at: datetime | None) -> None:
    """Disable or enable an account."""
    await tx.execute(sa.update(users).where(users.c.id == user_id).values(disabled_at=disabled_at))


async def set_password_hash(
    tx: Transaction, user_id: str, password_hash: str, changed_at: datetime | None
) -> None:
    """Store a hash; `changed_at` is None when the same password was hashed anew."""
    values: dict[str, object] = {"password_hash": password_hash}
    if changed_at is not None:
        values["password_changed_at"] = changed_at
    await tx.execute(sa.update(users).where(users.c.id == user_id).values(values))


async def set_email(tx: Transaction, user_id: str, email: str, verified_at: datetime | None) -> None:
    """Store an address, and since when it is known to be theirs."""
    values = {"email": email, "email_verified_at": verified_at}
    await tx.execute(sa.update(users).where(users.c.id == user_id).values(values))


async def note_sign_in(tx: Transaction, user_id: str, now: datetime) -> None:
    """Remember when someone last signed in."""
    await tx.execute(sa.update(users).where(users.c.id == user_id).values(last_sign_in_at=now))


async def add_session(tx: Transaction, session: Session) -> None:
    """Store a new session."""
    await tx.execute(sessions.insert(), values_of(session))


async def find_session(tx: Transaction, hashes: Collection[TokenHash]) -> tuple[Session, User] | None:
    """The session with one of these hashes and the person signed in."""
    statement = (
        sa.select(*sessions.c, *(column.label(f"user__{column.name}") for column in users.c))
        .join(users, users.c.id == sessions.c.user_id)
        .where(sessions.c.id_hash.in_(hashes))
    )
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        return None
    values = row._mapping
    session = Session(**{name: values[name] for name in Session.__dataclass_fields__})
    return session, User(**{name: values[f"user__{name}"] for name in User.__dataclass_fields__})


async def touch_session(tx: Transaction, id_hash: TokenHash, now: datetime) -> None:
    """Note that a session was used."""
    await tx.execute(sa.update(sessions).where(sessions.c.id_hash == id_hash).values(last_seen_at=now))


async def delete_sessions(tx: Transaction, hashes: Collection[TokenHash]) -> None:
    """End these sessions."""
    await tx.execute(sa.delete(sessions).where(sessions.c.id_hash.in_(hashes)))


async def list_sessions(tx: Transaction, user_id: str) -> Sequence[Session]:
    """Someone's sessions, the one that was used last first."""
    statement = sa.select(sessions).where(sessions.c.user_id == user_id)
    rows = await tx.execute(statement.order_by(sessions.c.last_seen_at.desc(), sessions.c.id_hash))
    return [Session(**row._mapping) for row in rows]


async def delete_own_session(tx: Transaction, user_id: str, id_hash: TokenHash) -> bool:
    """End a session of this person; False when it is nobody's, or someone else's."""
    mine = sa.and_(sessions.c.user_id == user_id, sessions.c.id_hash == id_hash)
    return (await tx.execute(sa.delete(sessions).where(mine))).rowcount > 0


async def delete_sessions_before(tx: Transaction, instant: datetime) -> int:
    """Sign everyone out who signed in before an instant; sign-ins that are under way end too."""
    await tx.execute(sa.delete(pending_sign_ins).where(pending_sign_ins.c.created_at < instant))
    return (await tx.execute(sa.delete(sessions).where(sessions.c.created_at < instant))).rowcount


async def delete_sessions_of(tx: Transaction, user_id: str, *, but: TokenHash | None = None) -> None:
    """Sign someone out everywhere, or everywhere but in one browser; sign-ins that are under way end too."""
    statement = sa.delete(sessions).where(sessions.c.user_id == user_id)
    await tx.execute(statement if but is None else statement.where(sessions.c.id_hash != but))
    await tx.execute(sa.delete(pending_sign_ins).where(pending_sign_ins.c.user_id == user_id))


async def renew_session(tx: Transaction, id_hash: TokenHash, renewed: TokenHash, methods: str) -> bool:
    """Put a session under a new id, with how its person has shown who they are by now; False when it is gone."""
    statement = sa.update(sessions).where(sessions.c.id_hash == id_hash)
    return (await tx.execute(statement.values(id_hash=renewed, methods=methods))).rowcount > 0


async def remember_device(tx: Transaction, device: Device) -> None:
    """Note that someone signed in with this browser."""
    same = sa.and_(devices.c.user_id == device.user_id, devices.c.browser_hash == device.browser_hash)
    updated = await tx.execute(sa.update(devices).where(same).values(last_sign_in_at=device.last_sign_in_at))
    if updated.rowcount == 0:
        await tx.execute(devices.insert(), values_of(device))


async def knows_device(tx: Transaction, user_id: str, hashes: Collection[TokenHash]) -> bool:
    """Whether this person signed in with this browser before."""
    found = sa.exists().where(devices.c.user_id == user_id, devices.c.browser_hash.in_(hashes))
    return bool((await tx.execute(sa.select(found))).scalar())
