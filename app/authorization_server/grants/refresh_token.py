"""The refresh token grant with rotation (OAuth 2.1 §4.3, RFC 9700 §4.14).

Refuses, in this order:
 1. a request without refresh token, or with a malformed scope           invalid_request, invalid_scope
 2. an unknown token, or one of another client                           invalid_grant
 3. a token that is bound to a key that the proof does not show          invalid_grant
 4. a client that did not register for this grant                        unauthorized_client
 5. a resource other than the granted one                                invalid_target
 6. a scope wider than the granted one                                   invalid_scope
 7. a revoked or ended grant, a disabled person, a token idle too long   invalid_grant
 8. an app that the person no longer lets stay connected                 invalid_grant
 9. a token exchanged before, unless it is a retry: the family falls     invalid_grant
A retry is the same token again inside the window while its successor is unused. The successor is derived, not
random, so every retry gets the same one, although only hashes are stored.
"""

from dataclasses import dataclass

from app.authorization_server import grant_store, revocation
from app.authorization_server.authorization import check_resource
from app.authorization_server.client_snapshot import may_stay
from app.authorization_server.grants.context import TokenContext, live_owner
from app.authorization_server.issuance import Issuance
from app.authorization_server.records import Client, Grant, RefreshToken
from app.authorization_server.tokens import TokenResponse, issue, stored_refresh_token
from app.oauth.errors import InvalidGrant, InvalidScope, UnauthorizedClient
from app.oauth.parameters import Parameters
from app.oauth.scopes import parse_scope

GRANT_TYPE = "refresh_token"
_REFUSED = "The refresh token is not valid."


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """The form of a refresh."""

    refresh_token: str
    scopes: tuple[str, ...]
    resource: tuple[str, ...]


def parse(form: Parameters) -> RefreshRequest:
    """Read the form.

    Raises:
        InvalidRequest: the token is missing, or something is repeated.
        InvalidScope: the scope is malformed.
    """
    return RefreshRequest(form.require("refresh_token"), parse_scope(form.get("scope")), form.all("resource"))


async def exchange(context: TokenContext, client: Client, request: RefreshRequest) -> TokenResponse:
    """Exchange a refresh token for an access token and its successor.

    Raises:
        InvalidGrant, InvalidScope, InvalidTarget, UnauthorizedClient: as the head of this file says.
    """
    now = context.origin.now
    found = await grant_store.lock_by_refresh_token(context.tx, context.keys.hashes(request.refresh_token))
    if found is None or found[1].client_id != client.client_id:
        raise InvalidGrant(_REFUSED, reason="unknown_refresh_token", client_id=client.client_id)
    token, grant = found
    if token.dpop_jkt is not None and token.dpop_jkt != context.proof_key:
        raise InvalidGrant(
            _REFUSED, reason="proof_key_mismatch", client_id=client.client_id, grant_id=grant.id
        )
    if GRANT_TYPE not in client.grant_types:
        raise UnauthorizedClient(
            "This client may not use the refresh token grant.", client_id=client.client_id
        )
    check_resource(request.resource, grant, context.policy)
    scopes = _narrow(grant, request)
    owner = await live_owner(context, client, grant, _REFUSED)
    if not may_stay(client, grant.client_snapshot):
        raise InvalidGrant(_REFUSED, reason="may_not_stay", client_id=client.client_id, grant_id=grant.id)
    if token.spent_at is None and now >= token.expires_at:
        raise InvalidGrant(_REFUSED, reason="refresh_idle", client_id=client.client_id, grant_id=grant.id)
    if await grant_store.spend_refresh_token(context.tx, token.token_hash, now):
        successor = await _add_successor(context, client, grant, token, request)
    else:
        successor = await _retry(context, client, grant, token, request)
    issuance = Issuance(client, grant, owner, scopes, with_id_token=True)
    return await issue(context, issuance, successor)


async def _add_successor(
    context: TokenContext, client: Client, grant: Grant, token: RefreshToken, request: RefreshRequest
) -> str:
    """Store the token that follows the one that was spent now."""
    generation = token.generation + 1
    successor = context.keys.successors(grant.id, generation, request.refresh_token)[0]
    row = stored_refresh_token(context, client, grant, successor, generation)
    await grant_store.add_refresh_token(context.tx, row)
    return successor


async def _retry(
    context: TokenContext, client: Client, grant: Grant, token: RefreshToken, request: RefreshRequest
) -> str:
    """The successor once more, if this is a retry; else someone has a stolen token, and the family falls."""
    now, spent_at, window = context.origin.now, token.spent_at, context.policy.refresh_retry_window
    if spent_at is not None and window and now <= spent_at + window:
        for successor in context.keys.successors(grant.id, token.generation + 1, request.refresh_token):
            row = await grant_store.find_refresh_token(context.tx, context.keys.hashes(successor))
            if row is not None and row.spent_at is None and now < row.expires_at:
                return successor
    await revocation.revoke_grant(context.tx, context.policy, grant.id, "refresh_reuse", context.origin)
    raise InvalidGrant(_REFUSED, reason="refresh_reuse", client_id=client.client_id, grant_id=grant.id)


def _narrow(grant: Grant, request: RefreshRequest) -> tuple[str, ...]:
    """The scopes of the new access token: those asked for, which must have been granted, or all.

    What the person took back later was granted once: who asks for it too gets the rest (RFC 6749 §6).
    """
    granted = parse_scope(grant.scope)
    taken_back = parse_scope(grant.taken_back)
    left = tuple(name for name in request.scopes if name in granted)
    if any(name not in (*granted, *taken_back) for name in request.scopes) or (request.scopes and not left):
        raise InvalidScope(
            "The scope is wider than what was granted.", client_id=grant.client_id, grant_id=grant.id
        )
    return left or granted
