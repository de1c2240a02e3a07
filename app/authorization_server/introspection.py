"""Token introspection (RFC 7662, RFC 9701): what a token is good for, told to those who may know.

Who may ask: a confidential client, about tokens that were issued to itself, and about access tokens for the resources
that the operator gave it to look after (`clients.introspects`). To everyone else, every token is inactive (§2.2, §4):
nobody learns whether a token that was found is good. A resource server has no business with refresh tokens.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from app.authorization_server import grant_store
from app.authorization_server.access_tokens import LiveToken, find_live_token
from app.authorization_server.authorization import FindResourceOwner
from app.authorization_server.client_snapshot import may_stay
from app.authorization_server.keys import SigningKeys
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.database import Transaction
from app.oauth import jwt
from app.oauth.credentials import Keys
from app.oauth.errors import InvalidClient

MEDIA_TYPE = "application/token-introspection+jwt"
_TOKEN_TYPE = "token-introspection+jwt"  # noqa: S105 - RFC 9701 §5, a media type
_INACTIVE: dict[str, Any] = {"active": False}
# Members that a token's own claims answer (RFC 7662 §2.2, RFC 8693 §4.1, RFC 9449 §6.2).
_CLAIMS = ("iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "cnf", "act")


async def introspect(
    tx: Transaction,
    keys: Keys,
    signing_keys: SigningKeys,
    policy: Policy,
    find_owner: FindResourceOwner,
    client: Client,
    token: str,
    now: datetime,
) -> dict[str, Any]:
    """The introspection response (RFC 7662 §2.2); the hint is not needed, our tokens tell what they are.

    Raises:
        InvalidClient: a public client, whose name anyone could use (§2.1).
    """
    if client.is_public:
        raise InvalidClient(
            "Client authentication is required.", reason="public_client", client_id=client.client_id
        )
    live = await find_live_token(tx, signing_keys, policy, find_owner, token, now)
    if live is not None:
        return _access_token(live) if _may_know(client, live) else _INACTIVE
    return await _refresh_token(tx, find_owner, client, keys.hashes(token), now)


def sign_response(
    response: dict[str, Any], signing_keys: SigningKeys, issuer: str, client: Client, now: datetime
) -> str:
    """The response as a JWT for this caller alone (RFC 9701 §5). Its `typ` keeps it from ever being a token."""
    claims = {
        "iss": issuer,
        "aud": client.client_id,
        "iat": int(now.timestamp()),
        "token_introspection": response,
    }
    return jwt.sign(claims, signing_keys.signing_at(now), _TOKEN_TYPE)


def _may_know(client: Client, live: LiveToken) -> bool:
    return live.client.client_id == client.client_id or live.claims["aud"] in (client.introspects or ())


def _access_token(live: LiveToken) -> dict[str, Any]:
    members = {name: live.claims[name] for name in _CLAIMS if name in live.claims}
    token_type = "DPoP" if "cnf" in live.claims else "Bearer"
    username = {"username": live.owner.username} if live.owner else {}
    return {"active": True, "token_type": token_type, **members, **username}


async def _refresh_token(
    tx: Transaction, find_owner: FindResourceOwner, client: Client, hashes: Collection[Any], now: datetime
) -> dict[str, Any]:
    """Its own client may know: until when it can be used, and for what."""
    token = await grant_store.find_refresh_token(tx, hashes)
    if token is None or token.spent_at is not None or now >= token.expires_at:
        return _INACTIVE
    grant = await grant_store.find_grant(tx, token.grant_id)
    if (
        grant is None
        or grant.client_id != client.client_id
        or not grant.is_live(now)
        or grant.user_id is None
        or not may_stay(client, grant.client_snapshot)
    ):
        return _INACTIVE
    owner = await find_owner(tx, grant.user_id)
    if owner is None:
        return _INACTIVE
    return {
        "active": True,
        "client_id": client.client_id,
        "username": owner.username,
        "sub": owner.id,
        "scope": grant.scope,
        "aud": grant.resource,
        "iat": int(token.created_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
    }
