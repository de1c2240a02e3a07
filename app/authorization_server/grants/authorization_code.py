"""The authorization code grant (OAuth 2.1 §4.1.3).

Refuses, in this order:
 1. a request without code or verifier                                   invalid_request
 2. an unknown code, or one of another client                            invalid_grant
 3. a redirect URI that is not the one of the authorization request      invalid_grant
 4. a verifier that does not prove the challenge                         invalid_grant
 5. a code that is bound to a key that the proof does not show           invalid_grant
 6. a resource that was not authorized                                   invalid_target
 7. a code spent before: the grant falls with it                         invalid_grant
 8. an expired code, a revoked grant, a disabled person                  invalid_grant
Possession is proven before anything is spent, so a thief with the code alone cannot burn it.
"""

from dataclasses import dataclass

from app.audit import record
from app.authorization_server import grant_store, revocation
from app.authorization_server.authorization import check_resource
from app.authorization_server.client_snapshot import may_stay
from app.authorization_server.grants.context import TokenContext, live_owner
from app.authorization_server.issuance import Issuance
from app.authorization_server.records import AuthorizationCode, Client, Grant
from app.authorization_server.tokens import TokenResponse, first_refresh_token, issue
from app.oauth import pkce
from app.oauth.errors import InvalidGrant, InvalidRequest
from app.oauth.parameters import Parameters
from app.oauth.scopes import parse_scope

GRANT_TYPE = "authorization_code"
_REFUSED = "The authorization code is not valid."


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """The form of a redemption."""

    code: str
    code_verifier: str
    redirect_uri: str | None
    resource: tuple[str, ...]


def parse(form: Parameters) -> CodeRequest:
    """Read the form.

    Raises:
        InvalidRequest: code or verifier is missing, or something is repeated.
    """
    code = form.require("code")
    verifier = form.get("code_verifier")
    if verifier is None:
        raise InvalidRequest("The parameter code_verifier is required.")
    return CodeRequest(code, verifier, form.get("redirect_uri"), form.all("resource"))


async def exchange(context: TokenContext, client: Client, request: CodeRequest) -> TokenResponse:
    """Redeem a code for tokens.

    Raises:
        InvalidGrant, InvalidTarget: as the head of this file says.
    """
    now = context.origin.now
    found = await grant_store.lock_by_code(context.tx, context.keys.hashes(request.code))
    if found is None or found[1].client_id != client.client_id:
        raise InvalidGrant(_REFUSED, reason="unknown_code", client_id=client.client_id)
    code, grant = found
    _prove_possession(context, client, code, grant, request)
    check_resource(request.resource, grant, context.policy)
    if code.spent_at is not None or not await grant_store.spend_code(context.tx, code.code_hash, now):
        await revocation.revoke_grant(context.tx, context.policy, grant.id, "code_replay", context.origin)
        raise InvalidGrant(_REFUSED, reason="code_replay", client_id=client.client_id, grant_id=grant.id)
    if now >= code.expires_at:
        raise InvalidGrant(_REFUSED, reason="code_expired", client_id=client.client_id, grant_id=grant.id)
    owner = await live_owner(context, client, grant, _REFUSED)
    refresh_token = None
    if may_stay(client, grant.client_snapshot):
        refresh_token, row = first_refresh_token(context, client, grant, request.code)
        await grant_store.add_refresh_token(context.tx, row)
    await record(
        context.tx,
        "token.issued",
        context.origin,
        user_id=owner.id,
        client_id=client.client_id,
        grant_id=grant.id,
        reference=grant.reference,
    )
    issuance = Issuance(client, grant, owner, parse_scope(grant.scope), with_id_token=True, nonce=code.nonce)
    return await issue(context, issuance, refresh_token)


def _prove_possession(
    context: TokenContext, client: Client, code: AuthorizationCode, grant: Grant, request: CodeRequest
) -> None:
    """OAuth 2.1 clients omit redirect_uri here, RFC 6749 clients repeat it: when it is sent, it must match."""
    if request.redirect_uri is not None and request.redirect_uri != grant.redirect_uri:
        reason = "redirect_uri_mismatch"
    elif not pkce.proves(request.code_verifier, code.code_challenge):
        reason = "pkce_mismatch"
    elif code.dpop_jkt is not None and code.dpop_jkt != context.proof_key:
        reason = "proof_key_mismatch"
    else:
        return
    raise InvalidGrant(_REFUSED, reason=reason, client_id=client.client_id, grant_id=grant.id)
