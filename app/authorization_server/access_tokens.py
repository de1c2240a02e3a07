"""Reading our own access tokens back, where the database can be asked: what is still good, and for whom.

The resource server decides from memory (`app.resource_server.verifier`); the endpoints of this role need no less than
the truth: introspection, the userinfo endpoint, token exchange.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.authorization_server import grant_store, store
from app.authorization_server.authorization import FindResourceOwner
from app.authorization_server.keys import SigningKeys
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client, Grant, ResourceOwner
from app.database import Transaction
from app.oauth import jwt
from app.oauth.editions import CLAIM


@dataclass(frozen=True, slots=True)
class LiveToken:
    """An access token of ours that is good at this moment, and all that stands behind it.

    `owner` is None for a client that acts for itself.
    """

    claims: Mapping[str, Any]
    grant: Grant
    client: Client
    owner: ResourceOwner | None

    @property
    def expires_at(self) -> datetime:
        """When it ends."""
        return datetime.fromtimestamp(int(self.claims["exp"]), UTC)


async def find_live_token(
    tx: Transaction,
    signing_keys: SigningKeys,
    policy: Policy,
    find_owner: FindResourceOwner,
    token: str,
    now: datetime,
) -> LiveToken | None:
    """What a presented token stands for; None when it is not ours, over, revoked, or its person or client disabled."""
    try:
        claims = jwt.verify(token, signing_keys.verification, jwt.ACCESS_TOKEN_TYPE)
    except jwt.InvalidJWT:
        return None
    # What our own keys signed has our own claims; only `iss` can differ, after a change of PUBLIC_URL.
    if claims["iss"] != policy.issuer or now >= datetime.fromtimestamp(int(claims["exp"]), UTC):
        return None
    if await grant_store.is_revoked(tx, [claims["jti"], claims["grant_id"]]):
        return None
    grant = await grant_store.find_grant(tx, claims["grant_id"])
    client = await store.find_client(tx, claims["client_id"])
    if grant is None or not grant.is_live(now) or claims.get(CLAIM, 0) != grant.edition:
        return None
    if client is None or client.disabled_at is not None:
        return None
    owner = await find_owner(tx, grant.user_id) if grant.user_id is not None else None
    if grant.user_id is not None and owner is None:
        return None
    return LiveToken(claims, grant, client, owner)
