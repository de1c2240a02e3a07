"""The server's choices, handed to the rules as one value."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from app.oauth import dpop
from app.oauth.errors import InvalidTarget
from app.oauth.features import Feature
from app.oauth.scopes import (
    CATALOGUE,
    OPENID,
    REQUIRED_AT_RESOURCE,
    Scope,
    asked_at_first,
    supported_by_resource,
    supported_by_server,
)
from app.oauth.uris import PRIVATE_USE_SCHEMES, InvalidURI, canonical_url

RegistrationMode = Literal["open", "token", "closed"]


@dataclass(frozen=True, slots=True)
class Resource:
    """One protected resource: its URL is the audience of its tokens.

    `scopes` are those that mean something there; `offline_access` and `openid` belong to this server alone.
    `required_scopes` must all be in a token before anything is answered.
    """

    url: str
    scopes: tuple[str, ...] = supported_by_resource()
    required_scopes: frozenset[str] = REQUIRED_AT_RESOURCE
    name: str | None = None


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Who may vouch for people by identity assertion (ID-JAG): its issuer identifier and where its keys are.

    `create_users` lets people in who have no account here yet.
    """

    issuer: str
    jwks_uri: str
    create_users: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What the specifications leave to the server. `issuer` is a canonical URL; the first resource is the default."""

    issuer: str
    resources: tuple[Resource, ...]
    features: frozenset[Feature] = frozenset(Feature)
    access_token_lifetime: timedelta = timedelta(minutes=15)
    # What the lifetime may have been before the operator changed it.
    longest_access_token_lifetime: timedelta = timedelta(hours=1)
    code_lifetime: timedelta = timedelta(seconds=60)
    request_lifetime: timedelta = timedelta(minutes=10)
    device_code_lifetime: timedelta = timedelta(minutes=10)
    # Seconds between two polls of a device, at first.
    device_poll_interval: int = 5
    pushed_request_lifetime: timedelta = timedelta(seconds=60)
    grant_lifetime: timedelta = timedelta(days=90)
    refresh_idle_lifetime: timedelta = timedelta(days=30)
    refresh_retry_window: timedelta = timedelta(seconds=30)
    client_secret_lifetime: timedelta | None = None
    registration: RegistrationMode = "open"
    # How many registrations that nobody ever approved are kept, and for how long.
    registration_cap: int = 10_000
    registration_unused_lifetime: timedelta = timedelta(days=30)
    # How long a registration is safe although others want its place: it may be in its first authorization.
    registration_grace: timedelta = timedelta(minutes=15)
    client_documents: bool = True
    # Hosts whose documents and keys are read; None for any.
    client_document_hosts: frozenset[str] | None = None
    # How long after its last good fetch a document still serves what was allowed before.
    client_document_limit: timedelta = timedelta(days=7)
    private_use_schemes: frozenset[str] = PRIVATE_USE_SCHEMES
    catalogue: tuple[Scope, ...] = CATALOGUE
    trusted_issuers: tuple[TrustedIssuer, ...] = ()
    require_pushed_requests: bool = False
    # How long what happened is kept on record; None for ever.
    audit_lifetime: timedelta | None = timedelta(days=365)
    # How long a key signs before the next one takes over by itself; None: until an operator rotates it.
    signing_key_lifetime: timedelta | None = timedelta(days=90)
    dpop_nonces: bool = False

    def has(self, feature: Feature) -> bool:
        """Whether this server does it."""
        return feature in self.features

    def find_issuer(self, issuer: object) -> TrustedIssuer | None:
        """The trusted issuer of this name, exactly spelled."""
        return next((trusted for trusted in self.trusted_issuers if trusted.issuer == issuer), None)

    def reads_from(self, host: str) -> bool:
        """Whether documents and keys that strangers publish are read from this host."""
        return self.client_document_hosts is None or host in self.client_document_hosts

    @property
    def proof_algorithms(self) -> tuple[str, ...]:
        """What DPoP proofs may be signed with; none while it is switched off."""
        return dpop.ALGORITHMS if self.has(Feature.DPOP) else ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that can be had here, in the catalogue's order."""
        names = supported_by_server(self.catalogue)
        return names if self.has(Feature.OPENID) else tuple(name for name in names if name != OPENID)

    def lifetime_of_grant(self, stays: bool) -> timedelta:
        """How long a grant holds; one whose app may not stay connected, as long as its code and its only token."""
        return self.grant_lifetime if stays else self.request_lifetime + self.access_token_lifetime

    @property
    def default_resource(self) -> Resource:
        """The resource of requests that name none."""
        return self.resources[0]

    def first_scopes(self, resource: Resource) -> tuple[str, ...]:
        """What a client should ask for when it first connects to a resource, and gets when it names nothing."""
        first = asked_at_first(resource.scopes, self.catalogue)
        return tuple(name for name in resource.scopes if name in first or name in resource.required_scopes)

    def find_resource(self, url: str) -> Resource:
        """The resource that a `resource` parameter names; spellings that differ only in form are accepted.

        Raises:
            InvalidTarget: none of ours (RFC 8707 §2).
        """
        try:
            canonical = canonical_url(url)
        except InvalidURI:
            raise InvalidTarget("resource must be the absolute URI of a resource of this server.") from None
        for resource in self.resources:
            if resource.url == canonical:
                return resource
        raise InvalidTarget("resource does not name a resource of this server.")
