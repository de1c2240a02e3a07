"""The server's choices, handed to the rules as one value."""

from dataclasses import dataclass, field
from datetime import timedelta

from app.oauth.scopes import CATALOGUE, REQUIRED_AT_RESOURCE, Scope
from app.oauth.uris import PRIVATE_USE_SCHEMES


@dataclass(frozen=True, slots=True)
class Policy:
    """What the specifications leave to the server. `issuer` and `resource` are canonical URLs."""

    issuer: str
    resource: str
    access_token_lifetime: timedelta = timedelta(minutes=15)
    code_lifetime: timedelta = timedelta(seconds=60)
    request_lifetime: timedelta = timedelta(minutes=10)
    grant_lifetime: timedelta = timedelta(days=90)
    refresh_idle_lifetime: timedelta = timedelta(days=30)
    refresh_retry_window: timedelta = timedelta(seconds=30)
    client_secret_lifetime: timedelta | None = None
    client_documents: bool = True
    # Hosts whose documents are read; None for any.
    client_document_hosts: frozenset[str] | None = None
    # How long after its last good fetch a document still serves what was allowed before.
    client_document_limit: timedelta = timedelta(days=7)
    private_use_schemes: frozenset[str] = PRIVATE_USE_SCHEMES
    catalogue: tuple[Scope, ...] = CATALOGUE
    required_scopes: frozenset[str] = field(default=REQUIRED_AT_RESOURCE)
