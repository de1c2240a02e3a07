"""Authorization server metadata (RFC 8414), the same for clients that only look for OpenID Connect Discovery."""

from typing import Any

from app.authorization_server.client_metadata import AUTH_METHODS, RESPONSE_TYPES
from app.authorization_server.grants.registry import GRANTS
from app.authorization_server.policy import Policy
from app.oauth import pkce
from app.oauth.jwt import ALGORITHM
from app.oauth.scopes import supported_by_server


def authorization_server_metadata(policy: Policy) -> dict[str, Any]:
    """What this server can do, member by member of RFC 8414 §2; `issuer` is exactly the configured one."""
    issuer = policy.issuer
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "registration_endpoint": f"{issuer}/oauth/register",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": list(supported_by_server(policy.catalogue)),
        "response_types_supported": list(RESPONSE_TYPES),
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANTS),
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "code_challenge_methods_supported": [pkce.METHOD],
        "authorization_response_iss_parameter_supported": True,
        **({"client_id_metadata_document_supported": True} if policy.client_documents else {}),
        "protected_resources": [policy.resource],
        # Required members of OpenID Connect Discovery, for clients that parse strictly.
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }
