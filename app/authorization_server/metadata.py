"""Authorization server metadata (RFC 8414), the same for clients that only look for OpenID Connect Discovery."""

from collections.abc import Collection
from typing import Any

from app.authorization_server.authentication import PROMPTS
from app.authorization_server.claims import CLAIMS_BY_SCOPE
from app.authorization_server.client_key_metadata import PRIVATE_KEY_JWT, auth_methods
from app.authorization_server.client_metadata import RESPONSE_TYPES
from app.authorization_server.grants import jwt_bearer
from app.authorization_server.grants.registry import grant_types
from app.authorization_server.id_tokens import CLAIMS
from app.authorization_server.policy import Policy
from app.oauth import pkce
from app.oauth.assertions import ALGORITHMS
from app.oauth.features import Feature
from app.oauth.jwt import ALGORITHM


def authorization_server_metadata(policy: Policy) -> dict[str, Any]:
    """What this server can do, member by member of RFC 8414 §2; `issuer` is exactly the configured one."""
    issuer = policy.issuer
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": list(policy.scopes),
        "response_types_supported": list(RESPONSE_TYPES),
        "response_modes_supported": ["query"],
        "grant_types_supported": list(grant_types(policy)),
        **_authentication("token", auth_methods(policy)),
        **_authentication("revocation", auth_methods(policy)),
        "code_challenge_methods_supported": [pkce.METHOD],
        "authorization_response_iss_parameter_supported": True,
        "protected_resources": [resource.url for resource in policy.resources],
        # Required members of OpenID Connect Discovery: MCP clients that look only there parse strictly, so they stay
        # while OpenID Connect is switched off. Without the scope `openid` they promise nothing.
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        **_optional(policy),
        **(_openid(issuer) if policy.has(Feature.OPENID) else {}),
    }


def _authentication(endpoint: str, methods: Collection[str]) -> dict[str, Any]:
    """How clients authenticate at an endpoint, and what they may sign with if they sign."""
    told = {f"{endpoint}_endpoint_auth_methods_supported": list(methods)}
    if PRIVATE_KEY_JWT in methods:
        told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    return told


def _openid(issuer: str) -> dict[str, Any]:
    """OpenID Connect Discovery §3."""
    return {
        "userinfo_endpoint": f"{issuer}/oauth/userinfo",
        "claims_supported": [*CLAIMS, *(name for names in CLAIMS_BY_SCOPE.values() for name in names)],
        "claims_parameter_supported": False,
        "prompt_values_supported": list(PROMPTS),
        "request_parameter_supported": False,
        # Absent, it would mean that any request_uri is fetched; one that was pushed needs no member (RFC 9126 §5).
        "request_uri_parameter_supported": False,
    }


def _optional(policy: Policy) -> dict[str, Any]:
    """What is there only while it is switched on: a member that is told is a promise."""
    issuer, members = policy.issuer, dict[str, Any]()
    if policy.registration != "closed":
        members["registration_endpoint"] = f"{issuer}/oauth/register"
    if policy.client_documents:
        members["client_id_metadata_document_supported"] = True
    if policy.has(Feature.INTROSPECTION):
        members |= {
            "introspection_endpoint": f"{issuer}/oauth/introspect",
            **_authentication(
                "introspection", [method for method in auth_methods(policy) if method != "none"]
            ),
            "introspection_signing_alg_values_supported": [ALGORITHM],
        }
    if policy.has(Feature.PUSHED_REQUESTS):
        members |= {
            "pushed_authorization_request_endpoint": f"{issuer}/oauth/par",
            "require_pushed_authorization_requests": policy.require_pushed_requests,
        }
    if policy.has(Feature.JWT_BEARER):
        members["authorization_grant_profiles_supported"] = [jwt_bearer.PROFILE]
    if policy.proof_algorithms:
        members["dpop_signing_alg_values_supported"] = list(policy.proof_algorithms)
    if policy.has(Feature.DEVICE):
        members["device_authorization_endpoint"] = f"{issuer}/oauth/device_authorization"
    return members
