"""Access tokens (RFC 9068) and the token response (OAuth 2.1 §3.2.3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from app.authorization_server import grant_store
from app.authorization_server.claims import claims_about
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.id_tokens import id_token_member
from app.authorization_server.issuance import Issuance, ask_hooks
from app.authorization_server.records import Client, Grant, RefreshToken
from app.oauth import jwt
from app.oauth.credentials import mint_id
from app.oauth.dpop import BEARER, DPOP
from app.oauth.editions import CLAIM
from app.oauth.errors import InvalidGrant
from app.oauth.scopes import Scope, for_person, format_scope


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A successful answer of the token endpoint; `more` holds members that only some grants have."""

    access_token: str
    expires_in: int
    scope: str
    refresh_token: str | None
    token_type: str = BEARER
    more: Mapping[str, Any] = field(default_factory=dict)

    def with_more(self, **members: Any) -> Self:
        """The same answer with further members."""
        return replace(self, more={**self.more, **members})

    def body(self) -> dict[str, Any]:
        """The JSON members; `scope` is always told, so a narrowed one can't be missed."""
        body: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_in": self.expires_in,
            "scope": self.scope,
            **self.more,
        }
        if self.refresh_token is not None:
            body["refresh_token"] = self.refresh_token
        return body


async def issue(context: TokenContext, issuance: Issuance, refresh_token: str | None) -> TokenResponse:
    """Sign an access token and note that the grant was used. It never outlives its grant.

    Raises:
        InvalidGrant: the operator's hook refused, or the person may no longer have any of the scopes.
    """
    issuance = await ask_hooks(context, issuance)
    grant, policy, now = issuance.grant, context.policy, context.origin.now
    scopes = _allowed_now(issuance, policy.catalogue)
    expires_at = min(
        now + policy.access_token_lifetime, grant.expires_at, issuance.not_after or grant.expires_at
    )
    issued = int(now.timestamp())
    expires = int(expires_at.timestamp())
    claims: dict[str, Any] = {
        "iss": policy.issuer,
        "sub": issuance.owner.id if issuance.owner else issuance.client.client_id,
        "aud": grant.resource,
        "client_id": issuance.client.client_id,
        "client_name": issuance.client.display_name,
        "scope": format_scope(scopes),
        "grant_id": grant.id,
        "iat": issued,
        "exp": expires,
        "jti": mint_id("at_"),
        **(claims_about(issuance.owner, scopes) if issuance.owner else {}),
        **issuance.claims,
        **({CLAIM: grant.edition} if grant.edition else {}),
        **({} if context.proof_key is None else {"cnf": {"jkt": context.proof_key}}),  # RFC 9449 §6.1
    }
    await grant_store.note_issued(context.tx, grant.id, now)
    token = jwt.sign(claims, context.signing_keys.signing_at(now), jwt.ACCESS_TOKEN_TYPE)
    more = id_token_member(context, issuance, token, expires)
    token_type = BEARER if context.proof_key is None else DPOP
    return TokenResponse(token, expires - issued, claims["scope"], refresh_token, token_type, more)


def _allowed_now(issuance: Issuance, catalogue: tuple[Scope, ...]) -> tuple[str, ...]:
    """The scopes without those for administrators, where the person is none any more."""
    scopes, owner = issuance.scopes, issuance.owner
    if owner is None:
        return scopes
    allowed = for_person(scopes, owner.is_admin, catalogue)
    if scopes and not allowed:
        raise InvalidGrant(
            "The person may no longer allow this.",
            reason="admins_only",
            client_id=issuance.client.client_id,
            grant_id=issuance.grant.id,
        )
    return allowed


def first_refresh_token(
    context: TokenContext, client: Client, grant: Grant, code: str
) -> tuple[str, RefreshToken]:
    """The refresh token of generation 0, derived from the code that was spent for it."""
    secret = context.keys.successors(grant.id, 0, code)[0]
    return secret, stored_refresh_token(context, client, grant, secret, 0)


def stored_refresh_token(
    context: TokenContext, client: Client, grant: Grant, secret: str, generation: int
) -> RefreshToken:
    """The row of a refresh token: it ends when idle too long and never outlives its grant.

    A public client's is bound to the key that the client proved to hold; the others authenticate (RFC 9449 §5).
    """
    now = context.origin.now
    return RefreshToken(
        token_hash=context.keys.hash(secret),
        grant_id=grant.id,
        generation=generation,
        created_at=now,
        expires_at=min(now + context.policy.refresh_idle_lifetime, grant.expires_at),
        dpop_jkt=context.proof_key if client.is_public else None,
    )
