"""Who signed in, for the client that holds a token (OpenID Connect Core §5.3).

Refuses, in this order:
 1. a token that is not ours, over, revoked, or whose person or client may no longer   invalid_token
 2. a token that is bound to a key, without a good proof of that key (RFC 9449 §7)       invalid_token,
                                                                    invalid_dpop_proof, use_dpop_nonce
 3. a token that stands for no person                                                   invalid_token
 4. a token without the scope `openid`                                                  insufficient_scope

The audience of an access token is the one resource that it was asked for (RFC 8707 §2, RFC 9068 §2.2), never this
endpoint. It is accepted here all the same, because it is shown to the server that issued it: the issuer knows from
its own records what was granted and whether that still stands, and `openid` was granted for nothing else than this.
A resource that turns a token round learns nothing new, since the token itself names the person by the same claims.
Were this endpoint a second value of `aud`, a resource that asks for exactly one audience would have to accept two.
"""

from datetime import datetime

from app.authorization_server.access_tokens import find_live_token
from app.authorization_server.authorization import FindResourceOwner
from app.authorization_server.claims import claims_about
from app.authorization_server.keys import SigningKeys
from app.authorization_server.policy import Policy
from app.authorization_server.proof_of_possession import check_possession
from app.database import Transaction
from app.oauth.credentials import Keys
from app.oauth.dpop import Presented
from app.oauth.errors import InsufficientScope, InvalidToken
from app.oauth.scopes import OPENID, parse_scope


async def userinfo(
    tx: Transaction,
    keys: Keys,
    signing_keys: SigningKeys,
    policy: Policy,
    find_owner: FindResourceOwner,
    presented: Presented,
    method: str,
    now: datetime,
) -> dict[str, str]:
    """The claims that the token's scope opens; `sub` always, the same as in the ID token (§5.3.2).

    Raises:
        InvalidToken, InvalidDPoPProof, InsufficientScope: as the head of this file says.
    """
    live = await find_live_token(tx, signing_keys, policy, find_owner, presented.token, now)
    if live is None:
        raise InvalidToken(
            "The access token is not good here.", scheme=presented.scheme, reason="token_not_live"
        )
    await check_possession(tx, keys, policy, presented, live, method, f"{policy.issuer}/oauth/userinfo", now)
    client_id = live.client.client_id
    if live.owner is None:
        raise InvalidToken(
            "The access token stands for no person.",
            scheme=presented.scheme,
            reason="token_without_person",
            client_id=client_id,
        )
    scopes = parse_scope(live.claims["scope"])
    if OPENID not in scopes:
        raise InsufficientScope(
            "The access token lacks the scope openid.",
            OPENID,
            scheme=presented.scheme,
            client_id=client_id,
            grant_id=live.grant.id,
        )
    return {"sub": live.owner.id, **claims_about(live.owner, scopes)}
