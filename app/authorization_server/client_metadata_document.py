"""Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document-01): what one must say."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from app.authorization_server.client_metadata import check_metadata
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.oauth.errors import InvalidClientMetadata
from app.rows import values_of


def read_document(
    document: object, url: str, policy: Policy, now: datetime, fresh_for: timedelta, source: str
) -> Client:
    """The client that a document describes.

    Refused in this order: not an object, another `client_id` (§4.1), a shared secret (§4.1), keys that this server
    does not use yet, a required field missing, and what dynamic registration refuses.

    Raises:
        InvalidClientMetadata, InvalidRedirectURI.
    """
    if not isinstance(document, Mapping):
        raise InvalidClientMetadata("It must be a JSON object.")
    if document.get("client_id") != url:
        raise InvalidClientMetadata("Its client_id must be exactly the address of the document.")
    if any(field in document for field in ("client_secret", "client_secret_expires_at")):
        raise InvalidClientMetadata("It must not hold a client_secret.")
    method = document.get("token_endpoint_auth_method")
    if isinstance(method, str) and method.startswith("client_secret"):
        raise InvalidClientMetadata("token_endpoint_auth_method must not be one with a shared secret.")
    if method == "private_key_jwt":
        raise InvalidClientMetadata("token_endpoint_auth_method private_key_jwt is not supported here yet.")
    checked = check_metadata(document, policy, default_auth_method="none")
    if checked.client_name is None:
        raise InvalidClientMetadata("client_name is required.")
    return Client(
        client_id=url,
        **values_of(checked),
        secret_hash=None,
        secret_expires_at=None,
        registration="document",
        registered_from=source,
        created_at=now,
        last_used_at=None,
        disabled_at=None,
        document_fetched_at=now,
        document_fresh_until=now + fresh_for,
        changed_at=None,
        document_withdrawn_at=None,
    )


def describes_the_same(one: Client, other: Client) -> bool:
    """Whether two readings of a document say the same to a person who is asked for consent (§6.3)."""
    return (one.client_name, one.redirect_uris, one.token_endpoint_auth_method, one.grant_types) == (
        other.client_name,
        other.redirect_uris,
        other.token_endpoint_auth_method,
        other.grant_types,
    )
