"""Protected resource metadata (RFC 9728)."""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def resource_metadata(resource: str, issuer: str, scopes: Collection[str], name: str) -> dict[str, Any]:
    """The document: `resource` is exactly the URL that clients use."""
    return {
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": name,
    }


def resource_metadata_url(resource: str) -> str:
    """Where the document lies: the well-known path goes between host and path (RFC 9728 §3.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}"
