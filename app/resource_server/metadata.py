"""Protected resource metadata (RFC 9728)."""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def resource_metadata(
    resource: str, issuer: str, scopes: Collection[str], name: str, proof_algorithms: Collection[str] = ()
) -> dict[str, Any]:
    """The document: `resource` is exactly the URL that clients use.

    Args:
        proof_algorithms: what DPoP proofs may be signed with; none where they mean nothing.
    """
    return {
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": name,
        **({"dpop_signing_alg_values_supported": list(proof_algorithms)} if proof_algorithms else {}),
    }


def resource_metadata_url(resource: str) -> str:
    """Where the document lies: the well-known path goes between host and path (RFC 9728 §3.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}"
