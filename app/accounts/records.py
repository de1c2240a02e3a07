"""What the accounts know, as frozen values; the fields are the columns."""

from dataclasses import dataclass
from datetime import datetime

from app.oauth.credentials import TokenHash


@dataclass(frozen=True, slots=True)
class User:
    """A person who may sign in."""

    id: str
    username: str
    name: str
    email: str | None
    password_hash: str | None
    is_admin: bool
    created_at: datetime
    password_changed_at: datetime
    last_sign_in_at: datetime | None
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in."""

    id_hash: TokenHash
    user_id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    source: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Device:
    """A browser that someone signed in with before."""

    user_id: str
    browser_hash: TokenHash
    last_sign_in_at: datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """Who someone is at an issuer that this server trusts."""

    issuer: str
    subject: str
    user_id: str
    created_at: datetime
    last_used_at: datetime | None = None
