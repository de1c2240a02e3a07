"""Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document-01): what one must say."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from app.authorization_server.client_key_metadata import SECRET_METHODS, auth_methods
from app.authorization_server.client_metadata import check_metadata
from app.authorization_server.grants.registry import registrable
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.oauth.errors import InvalidClientMetadata
from app.rows import values_of


def read_document(
    document: object, url: str, policy: Policy, now: datetime, fresh_for: timedelta, source: str
) -> Client:
    """The client that a document describes.

    Refused in this order: not an object, another `client_id` (§4.1), a shared secret (§4.1), a required field missing,
    and what dynamic registration refuses. A document is written for every server, so what it offers besides and this
    one does not do is passed over: grant types, and ways to authenticate.

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
    checked = check_metadata(_chosen(document, policy), policy, default_auth_method="none")
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


def _chosen(document: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """The document with what was chosen of it: the way to authenticate that it prefers, if this server does it, else
    the first of those that it names besides (OpenID Connect RP Metadata Choices §2)."""
    chosen = dict(document)
    ways = [way for way in auth_methods(policy) if way not in SECRET_METHODS]
    others = document.get("token_endpoint_auth_methods_supported")
    wanted = document.get("token_endpoint_auth_method", "none")
    if wanted not in ways and isinstance(others, list):
        chosen["token_endpoint_auth_method"] = next((way for way in others if way in ways), wanted)
    grant_types = document.get("grant_types")
    if isinstance(grant_types, list):
        chosen["grant_types"] = [name for name in grant_types if name in registrable(policy)]
    return chosen
