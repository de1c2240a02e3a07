"""Signing in and out, and knowing who is signed in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.accounts import store
from app.accounts.passwords import Passwords
from app.accounts.records import Device, Session, User
from app.audit import Origin, record
from app.database import Transaction
from app.oauth.credentials import SESSION, Keys, TokenHash, mint

IDLE = timedelta(hours=12)
ABSOLUTE = timedelta(days=7)
# How far apart the two requests of a double click may arrive.
_SENT_TWICE = timedelta(seconds=10)
_TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A browser session that was checked: who it is, since when, and the hash that forms are bound to.

    `methods` are how the person showed who they are (RFC 8176).
    """

    user: User
    session_hash: TokenHash
    since: datetime
    methods: tuple[str, ...] = ()


async def authenticate(passwords: Passwords, user: User | None, password: str) -> User | None:
    """The person, if they exist, may sign in, and this is their password; the same work for every refusal.

    Called outside any transaction: hashing takes long, and connections are few.
    """
    matches = await passwords.verify(password, user.password_hash if user else None)
    return user if user is not None and matches and user.disabled_at is None else None


async def still_stands(tx: Transaction, user: User) -> bool:
    """Whether nothing changed while the password was verified: not disabled, deleted, or given another password.

    It stays so until the transaction ends.
    """
    now = await store.hold_user(tx, user.id)
    return now is not None and now.disabled_at is None and now.password_hash == user.password_hash


async def renew_hash(tx: Transaction, passwords: Passwords, user: User, password: str) -> None:
    """Hash a password anew that was stored with lower parameters than today's."""
    if user.password_hash is not None and passwords.is_outdated(user.password_hash):
        await store.set_password_hash(tx, user.id, await passwords.hash(password), None)


async def start_session(
    tx: Transaction,
    keys: Keys,
    user: User,
    origin: Origin,
    device: str,
    user_agent: str | None,
    at: datetime,
    methods: Sequence[str],
    session_id: str | None = None,
) -> str:
    """Sign a browser in under a new session id, which only the cookie knows; returns that id.

    Args:
        device: names the browser, which this person is known to use from now on.
        at: the time of the sign-in that apps are told.
        methods: how the person showed who they are (RFC 8176).
        session_id: one that was derived, where the same form may be sent twice; it is good for one session.
    """
    session_id = session_id or mint(SESSION)
    session = Session(
        id_hash=keys.hash(session_id),
        user_id=user.id,
        created_at=at,
        last_seen_at=origin.now,
        expires_at=origin.now + ABSOLUTE,
        source=origin.source,
        user_agent=(user_agent or "")[:300] or None,
        methods=" ".join(methods),
    )
    await store.add_session(tx, session)
    await store.note_sign_in(tx, user.id, origin.now)
    await store.remember_device(tx, Device(user.id, keys.hash(device), origin.now))
    await record(tx, "user.signed_in", origin, user_id=user.id)
    return session_id


async def find_signed_in(
    tx: Transaction, keys: Keys, session_id: str | None, now: datetime, *, touch: bool = True
) -> SignedIn | None:
    """Who is signed in with this cookie: None when it is unknown, idle too long, too old, or its owner disabled.

    `touch` notes the use, which locks the session until the transaction ends.
    """
    if not session_id:
        return None
    found = await store.find_session(tx, keys.hashes(session_id))
    if found is None:
        return None
    session, user = found
    if not is_alive(session, now) or user.disabled_at is not None:
        return None
    if touch and now >= session.last_seen_at + _TOUCH_EVERY:
        await store.touch_session(tx, session.id_hash, now)
    return SignedIn(user, session.id_hash, session.created_at, tuple(session.methods.split()))


async def find_just_started(
    tx: Transaction, keys: Keys, session_ids: Sequence[str], now: datetime
) -> str | None:
    """Which of these ids a session was started with a moment ago; None when it ended, or is older."""
    for session_id in session_ids:
        found = await store.find_session(tx, keys.hashes(session_id))
        if found and now < found[0].expires_at - ABSOLUTE + _SENT_TWICE and found[1].disabled_at is None:
            return session_id
    return None


async def renew_session(
    tx: Transaction, keys: Keys, signed_in: SignedIn, methods: Sequence[str]
) -> tuple[str, SignedIn] | None:
    """Go on under a new session id, after the person showed more than before (ASVS 7.2.4); None when the session was
    ended meanwhile. Whoever has the old id has nothing any more.
    """
    session_id = mint(SESSION)
    renewed = keys.hash(session_id)
    if not await store.renew_session(tx, signed_in.session_hash, renewed, " ".join(methods)):
        return None
    return session_id, replace(signed_in, session_hash=renewed, methods=tuple(methods))


def is_alive(session: Session, now: datetime) -> bool:
    """Whether a session still counts: neither idle too long nor too old."""
    return now < session.expires_at and now < session.last_seen_at + IDLE


async def end_session(tx: Transaction, user_id: str, id_hash: TokenHash, origin: Origin) -> None:
    """Sign out one browser of this person; what is nobody's session, or someone else's, stays as it is."""
    if await store.delete_own_session(tx, user_id, id_hash):
        await record(tx, "user.signed_out", origin, user_id=user_id)


async def end_other_sessions(tx: Transaction, signed_in: SignedIn, origin: Origin) -> None:
    """Sign this person out everywhere but here."""
    await store.delete_sessions_of(tx, signed_in.user.id, but=signed_in.session_hash)
    await record(tx, "user.signed_out_elsewhere", origin, user_id=signed_in.user.id)


async def sign_out(tx: Transaction, signed_in: SignedIn, origin: Origin) -> None:
    """End this session on the server."""
    await store.delete_sessions(tx, [signed_in.session_hash])
    await record(tx, "user.signed_out", origin, user_id=signed_in.user.id)
