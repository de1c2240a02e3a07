"""What the authorization server knows, as frozen values; the fields are the columns."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.oauth.credentials import TokenHash

Decision = Literal["approve", "deny"]


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client (RFC 7591 §2)."""

    client_id: str
    client_name: str | None
    redirect_uris: list[str]
    grant_types: list[str]
    response_types: list[str]
    token_endpoint_auth_method: str
    scope: str | None
    information: dict[str, Any]
    secret_hash: TokenHash | None
    secret_expires_at: datetime | None
    registration: str
    registered_from: str | None
    created_at: datetime
    last_used_at: datetime | None
    disabled_at: datetime | None
    # Of a client whose id is the address of its metadata document; empty for the others.
    document_fetched_at: datetime | None = None
    document_fresh_until: datetime | None = None
    document_withdrawn_at: datetime | None = None
    changed_at: datetime | None = None
    # Of a client that signs assertions (RFC 7523).
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    token_endpoint_auth_signing_alg: str | None = None
    registration_token_hash: TokenHash | None = None
    fingerprint: str | None = None
    introspects: list[str] | None = None
    registered_with: str | None = None
    # When an operator said that people may trust it.
    approved_at: datetime | None = None
    # What operators find and sort it by; the store fills them in.
    search_text: str | None = None
    sort_name: str | None = None

    @property
    def is_document(self) -> bool:
        """Whether it describes itself in a document at the address that is its id."""
        return self.registration == "document"

    @property
    def is_stranger(self) -> bool:
        """Whether it made itself known here: no operator looked at it."""
        return self.registration in {"dynamic", "document"}

    @property
    def is_public(self) -> bool:
        """Whether it has no secret to keep (RFC 6749 §2.1)."""
        return self.token_endpoint_auth_method == "none"  # noqa: S105 - a method, not a secret

    @property
    def requires_proof(self) -> bool:
        """Whether it wants no tokens but those that are bound to its key (RFC 9449 §5.2)."""
        return self.information.get("dpop_bound_access_tokens") is True

    @property
    def requires_pushing(self) -> bool:
        """Whether it wants no authorization request in its name but those that it pushed (RFC 9126 §6)."""
        return self.information.get("require_pushed_authorization_requests") is True

    @property
    def display_name(self) -> str:
        """The name to show to people: what the client calls itself, else its id."""
        return self.client_name or self.client_id


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that passed every rule and waits for a person (RFC 6749 §4.1.1)."""

    id: str
    reference: str
    browser_hash: TokenHash
    client_id: str
    redirect_uri: str
    scope: str
    dropped_scope: str
    resource: str
    state: str | None
    code_challenge: str
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None = None
    decision: Decision | None = None
    nonce: str | None = None
    dpop_jkt: str | None = None
    signed_in_after: datetime | None = None
    subject: str | None = None
    login_hint: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person allows an app: these scopes, and whether it may stay connected."""

    scopes: tuple[str, ...]
    stays: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user allowed a client for a resource; all codes and tokens hang on it.

    A client that acts for itself (`client_credentials`) has grants without a user.
    """

    id: str
    user_id: str | None
    client_id: str
    resource: str
    scope: str
    redirect_uri: str | None
    reference: str
    created_at: datetime
    expires_at: datetime
    last_issued_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_because: str | None = None
    grant_type: str = "authorization_code"
    authenticated_at: datetime | None = None
    props_sealed: str | None = None
    client_snapshot: str | None = None
    first_used_at: datetime | None = None
    last_used_at: datetime | None = None
    last_used_from: str | None = None
    authentication_methods: str | None = None
    # How often the person took a part back, and all that they took.
    edition: int = 0
    taken_back: str | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether tokens may still be issued on it."""
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A code, known by its hash."""

    code_hash: TokenHash
    grant_id: str
    code_challenge: str
    created_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None
    nonce: str | None = None
    dpop_jkt: str | None = None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token, known by its hash."""

    token_hash: TokenHash
    grant_id: str
    generation: int
    created_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None
    dpop_jkt: str | None = None


@dataclass(frozen=True, slots=True)
class StoredSigningKey:
    """A signing key as it lies in the database: the private half sealed."""

    kid: str
    algorithm: str
    public_jwk: dict[str, Any]
    private_jwk_sealed: str
    created_at: datetime
    retired_at: datetime | None
    signs_from: datetime | None = None
    accepted_until: datetime | None = None

    @property
    def begins_at(self) -> datetime:
        """When it begins to sign; keys that were made before there was a rotation did at once."""
        return self.signs_from or self.created_at


@dataclass(frozen=True, slots=True)
class ResourceOwner:
    """Who stands behind a grant, as the accounts tell it; only people who may sign in become one."""

    id: str
    username: str
    name: str
    email: str | None
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """A device that waits for someone to type its code (RFC 8628 §3.2)."""

    device_code_hash: TokenHash
    user_code_hash: TokenHash
    reference: str
    client_id: str
    scope: str
    dropped_scope: str
    resource: str
    interval: int
    source: str | None
    created_at: datetime
    expires_at: datetime
    polled_at: datetime | None = None
    decided_at: datetime | None = None
    decision: Decision | None = None
    grant_id: str | None = None
    spent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PushedRequest:
    """An authorization request that a client pushed (RFC 9126 §2).

    `parameters_sealed` are its parameters, encrypted: hints can be tokens. `request_id` is the authorization request
    that it became when a browser brought it.
    """

    handle_hash: TokenHash
    client_id: str
    parameters_sealed: str
    created_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class InitialAccessToken:
    """Allows registration where it is not open (RFC 7591 §3)."""

    id: str
    token_hash: TokenHash
    label: str | None
    uses_left: int | None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
