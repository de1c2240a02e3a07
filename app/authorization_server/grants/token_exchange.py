"""Token exchange (RFC 8693): an access token of ours for a narrower one, for the same resource.

Refuses, in this order:
 1. a request without subject token, or with a kind of token that is not exchanged    invalid_request
 2. a client that did not register for this grant                                     unauthorized_client
 3. a subject token that is not good, or bound to a key that was not proven           invalid_request
 4. a subject token of another client, unless the operator made this one, which
    proves who it is                                                                  invalid_request
 5. an actor token that is not good                                                   invalid_request
 6. a resource or audience other than the subject token's                             invalid_target
 7. a scope wider than the subject token's                                            invalid_scope
The new token hangs on the same grant, so it falls with it, and never outlives the one that it came from. There is no
refresh token: whoever holds the subject token asks again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.audit import record
from app.authorization_server.access_tokens import LiveToken, find_live_token
from app.authorization_server.authorization import check_resource
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.issuance import Issuance
from app.authorization_server.records import Client
from app.authorization_server.tokens import TokenResponse, issue
from app.oauth.errors import InvalidRequest, InvalidScope, InvalidTarget, UnauthorizedClient
from app.oauth.parameters import Parameters
from app.oauth.scopes import SERVER_SCOPES, parse_scope

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - RFC 8693 §3, a name
_JWT = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """The form of an exchange."""

    subject_token: str
    actor_token: str | None
    scopes: tuple[str, ...]
    resource: tuple[str, ...]
    audience: tuple[str, ...]


def parse(form: Parameters) -> ExchangeRequest:
    """Read the form.

    Raises:
        InvalidRequest: something is missing, repeated, or of a kind that is not exchanged here.
        InvalidScope: the scope is malformed.
    """
    subject_token = form.require("subject_token")
    if form.require("subject_token_type") not in {ACCESS_TOKEN, _JWT}:
        raise InvalidRequest("subject_token_type must be that of an access token.")
    if form.get("requested_token_type") not in {None, ACCESS_TOKEN, _JWT}:
        raise InvalidRequest("requested_token_type must be that of an access token.")
    actor_token, actor_type = form.get("actor_token"), form.get("actor_token_type")
    if (actor_token is None) != (actor_type is None) or actor_type not in {None, ACCESS_TOKEN, _JWT}:
        raise InvalidRequest(
            "actor_token and actor_token_type go together, and are those of an access token."
        )
    scopes = parse_scope(form.get("scope"))
    return ExchangeRequest(subject_token, actor_token, scopes, form.all("resource"), form.all("audience"))


async def exchange(context: TokenContext, client: Client, request: ExchangeRequest) -> TokenResponse:
    """Issue a narrower token. Whoever acts for the subject stands in `act` (RFC 8693 §4.1).

    Raises:
        InvalidRequest, InvalidScope, InvalidTarget, UnauthorizedClient: as the head of this file says.
    """
    if GRANT_TYPE not in client.grant_types:
        raise UnauthorizedClient("This client may not exchange tokens.", client_id=client.client_id)
    subject = await _live(context, client, request.subject_token, "subject_token")
    grant = subject.grant
    # Whose id anyone can name is no client that the operator trusts with tokens of others.
    trusted = client.registration == "manual" and not client.is_public
    if subject.client.client_id != client.client_id and not trusted:
        raise InvalidRequest(
            "The subject_token was issued to another client.",
            reason="foreign_token",
            client_id=client.client_id,
            grant_id=grant.id,
        )
    act = await _actor(context, client, subject, request)
    check_resource(request.resource, grant, context.policy)
    if any(audience not in {grant.resource, client.client_id} for audience in request.audience):
        raise InvalidTarget("audience names something else than the subject_token.")
    scopes = _narrow(subject, request)
    await record(
        context.tx,
        "token.exchanged",
        context.origin,
        user_id=grant.user_id,
        client_id=client.client_id,
        grant_id=grant.id,
        reference=grant.reference,
    )
    claims = {"act": act} if act else {}
    issuance = Issuance(client, grant, subject.owner, scopes, claims, subject.expires_at)
    response = await issue(context, issuance, None)
    return response.with_more(issued_token_type=ACCESS_TOKEN)


async def _live(context: TokenContext, client: Client, token: str, name: str) -> LiveToken:
    """A token that is good, presented by who may hold it: one bound to a key is worthless without the key."""
    found = await find_live_token(
        context.tx, context.signing_keys, context.policy, context.find_owner, token, context.origin.now
    )
    bound_to = found.claims.get("cnf", {}).get("jkt") if found else None
    if found is None or (bound_to is not None and bound_to != context.proof_key):
        raise InvalidRequest(f"The {name} is not valid.", reason="token_not_live", client_id=client.client_id)
    return found


async def _actor(
    context: TokenContext, client: Client, subject: LiveToken, request: ExchangeRequest
) -> Mapping[str, Any] | None:
    """Who acts: whom the actor token names, else this client when the token was another's; earlier actors below."""
    before = subject.claims.get("act")
    if request.actor_token is not None:
        actor = await _live(context, client, request.actor_token, "actor_token")
        act = {"sub": actor.claims["sub"], "client_id": actor.claims["client_id"]}
    elif subject.client.client_id != client.client_id:
        act = {"sub": client.client_id, "client_id": client.client_id}
    else:
        return before if isinstance(before, Mapping) else None
    return {**act, "act": before} if before else act


def _narrow(subject: LiveToken, request: ExchangeRequest) -> tuple[str, ...]:
    """The scopes of the new token: those asked for, or all that mean something at the resource."""
    held = parse_scope(str(subject.claims["scope"]))
    if any(name not in held for name in request.scopes):
        raise InvalidScope(
            "The scope is wider than that of the subject_token.",
            client_id=subject.client.client_id,
            grant_id=subject.grant.id,
        )
    return request.scopes or tuple(name for name in held if name not in SERVER_SCOPES)
