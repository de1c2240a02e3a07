"""ID tokens: who signed in, when and how, told to the client alone (OpenID Connect Core §2, §3.1.3, §12.2).

They are no access tokens: `typ` and `aud` say so, and both are checked wherever a token of ours is read.
"""

import hashlib
from base64 import urlsafe_b64encode
from typing import Any

from app.authorization_server.claims import claims_about
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.issuance import Issuance
from app.oauth import jwt
from app.oauth.features import Feature
from app.oauth.scopes import OPENID

# What an ID token may hold besides the claims of scopes, as `claims_supported` lists it.
CLAIMS = ("iss", "sub", "aud", "exp", "iat", "auth_time", "amr", "nonce", "at_hash")


def id_token_member(
    context: TokenContext, issuance: Issuance, access_token: str, expires: int
) -> dict[str, str]:
    """The member `id_token` of a token response; nothing where `openid` was not granted (§3.1.3.3).

    It ends with the access token, at `expires` in seconds since 1970. A refreshed one keeps issuer, subject, audience
    and `auth_time` and `amr`, and has no nonce (§12.2).
    """
    grant, owner, is_on = issuance.grant, issuance.owner, context.policy.has(Feature.OPENID)
    if owner is None or not (issuance.with_id_token and is_on and OPENID in issuance.scopes):
        return {}
    claims: dict[str, Any] = {
        "iss": context.policy.issuer,
        "sub": owner.id,
        "aud": grant.client_id,
        "iat": int(context.origin.now.timestamp()),
        "exp": expires,
        "at_hash": _half_hash(access_token),
        **claims_about(owner, issuance.scopes),
    }
    if grant.authenticated_at is not None:
        claims["auth_time"] = int(grant.authenticated_at.timestamp())
    if grant.authentication_methods:
        claims["amr"] = grant.authentication_methods.split()
    if issuance.nonce is not None:
        claims["nonce"] = issuance.nonce
    key = context.signing_keys.signing_at(context.origin.now)
    return {"id_token": jwt.sign(claims, key, jwt.ID_TOKEN_TYPE)}


def _half_hash(token: str) -> str:
    """The left half of the hash that the algorithm signs with, SHA-256 for ES256 (§3.1.3.6)."""
    digest = hashlib.sha256(token.encode("ascii")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
