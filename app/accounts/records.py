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
    email_verified_at: datetime | None = None
    is_auditor: bool = False


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
    # How the person showed who they are, as RFC 8176 names it, separated by blanks: pwd, otp, hwk, fed, …
    methods: str = "pwd"


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


@dataclass(frozen=True, slots=True)
class Passkey:
    """A WebAuthn credential of someone."""

    credential_id: str
    user_id: str
    public_key: str
    sign_count: int
    name: str
    transports: list[str]
    aaguid: str
    is_backed_up: bool
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PasskeyChallenge:
    """What a browser signed, once: to register a passkey, or to sign in with one."""

    challenge_hash: TokenHash
    purpose: str
    browser_hash: TokenHash
    user_id: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Authenticator:
    """The app that shows someone's one-time codes (RFC 6238)."""

    user_id: str
    secret_sealed: str
    created_at: datetime
    last_step: int
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecoveryCode:
    """A code that signs in once where the second factor is lost."""

    code_hash: TokenHash
    user_id: str
    created_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in whose first factor was right and whose second one is awaited."""

    id_hash: TokenHash
    browser_hash: TokenHash
    user_id: str
    methods: str
    onward: str
    tries: int
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UpstreamSignIn:
    """A browser that was sent to another provider and is expected back."""

    state_hash: TokenHash
    browser_hash: TokenHash
    provider: str
    nonce: str
    verifier_sealed: str
    onward: str
    created_at: datetime
    expires_at: datetime
    # Who links the identity to their account; empty at a sign-in.
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class AccountLink:
    """A link that lets its holder set a password (`invitation`, `password_reset`) or proves an address (`email`)."""

    token_hash: TokenHash
    purpose: str
    user_id: str
    email: str | None
    created_by: str | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
