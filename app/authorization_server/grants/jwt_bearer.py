"""The JWT bearer grant with identity assertions (RFC 7523 §2.1, ID-JAG): an enterprise vouches for someone.

Enterprise-managed authorization: the identity provider of an enterprise, which the operator trusts, says in a signed
assertion that this client may act for this person at this resource; nobody is asked here again.

Refuses, in this order:
 1. a request without assertion, or with a malformed scope                            invalid_request, invalid_scope
 2. a client that may not use this grant, or that has nothing to authenticate with    unauthorized_client
 3. an assertion of an issuer that is not trusted, of another type, wrongly signed    invalid_grant
 4. one for another audience or client, expired, not yet good, or good too long       invalid_grant
 5. one for a resource that is not ours, or not the one that the request names        invalid_grant
 6. one that is restricted in a way that is not understood here                       invalid_grant
 7. one that was presented before                                                     invalid_grant
 8. one for somebody who is not known here                                            invalid_grant
 9. a scope of which the assertion allows nothing                                     invalid_scope
There is no refresh token: the enterprise is asked again (ID-JAG §5), so what it takes back ends within the life of an
access token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.audit import record
from app.authorization_server import grant_store
from app.authorization_server.authorization import choose_resource, known_scopes
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.issuance import Issuance
from app.authorization_server.policy import Resource, TrustedIssuer
from app.authorization_server.records import Client, Grant, ResourceOwner
from app.authorization_server.replay import spend_identifier
from app.authorization_server.tokens import TokenResponse, issue
from app.oauth import assertions
from app.oauth.credentials import mint_id, mint_reference
from app.oauth.errors import InvalidGrant, InvalidScope, InvalidTarget, UnauthorizedClient
from app.oauth.jwt import InvalidJWT
from app.oauth.parameters import Parameters
from app.oauth.scopes import SERVER_SCOPES, for_person, format_scope, parse_scope

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PROFILE = "urn:ietf:params:oauth:grant-profile:id-jag"
TOKEN_TYPES = ("oauth-id-jag+jwt",)
_LONGEST = timedelta(minutes=5)
_LONGEST_TEXT = 500
# An assertion with one of these allows less than its scope says, in a way that is not understood here.
_RESTRICTIONS = frozenset({"authorization_details", "cnf"})


@dataclass(frozen=True, slots=True)
class AssertionRequest:
    """The form of a JWT bearer request."""

    assertion: str
    scopes: tuple[str, ...]
    resource: tuple[str, ...]


class _Refusal(Exception):
    """Why an assertion is refused, for the audit record only."""


def parse(form: Parameters) -> AssertionRequest:
    """Read the form.

    Raises:
        InvalidRequest: the assertion is missing, or something is repeated.
        InvalidScope: the scope is malformed.
    """
    return AssertionRequest(form.require("assertion"), parse_scope(form.get("scope")), form.all("resource"))


async def exchange(context: TokenContext, client: Client, request: AssertionRequest) -> TokenResponse:
    """Issue a token to a client that an enterprise vouches for.

    Raises:
        InvalidGrant, InvalidScope, UnauthorizedClient: as the head of this file says.
    """
    if GRANT_TYPE not in client.grant_types or client.is_public:
        raise UnauthorizedClient("This client may not present assertions.", client_id=client.client_id)
    try:
        issuer, claims = _verify(context, request.assertion)
        ends = _check(context, client, claims)
        resource = _resource(context, claims, request)
        owner = await _owner(context, issuer, claims, ends)
    except (_Refusal, InvalidJWT, InvalidTarget) as refusal:
        reason = str(refusal) if isinstance(refusal, _Refusal) else "assertion_invalid"
        raise InvalidGrant("The assertion is not valid.", reason=reason, client_id=client.client_id) from None
    scopes = _scopes(context, claims, request, resource, owner)
    grant = await _grant(context, client, resource, owner, scopes)
    return await issue(context, Issuance(client, grant, owner, scopes), None)


def _verify(context: TokenContext, assertion: str) -> tuple[TrustedIssuer, Mapping[str, Any]]:
    unverified = assertions.read_assertion(assertion, TOKEN_TYPES)
    issuer = context.policy.find_issuer(unverified.claims.get("iss"))
    keys = context.known_keys(issuer.jwks_uri) if issuer is not None else None
    if issuer is None or keys is None:
        raise _Refusal("issuer_not_trusted" if issuer is None else "issuer_keys_unavailable")
    return issuer, assertions.verify_assertion(unverified, keys)


def _check(context: TokenContext, client: Client, claims: Mapping[str, Any]) -> datetime:
    """Who it is for and until when (ID-JAG §4.1); returns from when on it is too old in any case."""
    if claims.get("aud") not in (context.policy.issuer, [context.policy.issuer]):
        raise _Refusal("assertion_audience")
    if claims.get("client_id") != client.client_id:
        raise _Refusal("assertion_of_another_client")
    for name in ("sub", "jti"):
        value = claims.get(name)
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _LONGEST_TEXT:
            raise _Refusal(f"assertion_{name}")
    if "iat" not in claims:
        raise _Refusal("assertion_iat")
    if _RESTRICTIONS & claims.keys():
        raise _Refusal("assertion_restricted")
    return assertions.check_times(claims, context.origin.now, _LONGEST)


def _resource(context: TokenContext, claims: Mapping[str, Any], request: AssertionRequest) -> Resource:
    """The one resource that the enterprise named; the request may repeat it (RFC 8707)."""
    named = claims.get("resource")
    if not isinstance(named, str):
        raise _Refusal("assertion_resource")
    return choose_resource((named, *request.resource), context.policy)


async def _owner(
    context: TokenContext, issuer: TrustedIssuer, claims: Mapping[str, Any], ends: datetime
) -> ResourceOwner:
    """Whom it is about, once nobody presented it before."""
    if not await spend_identifier(context.tx, "id-jag", f"{issuer.issuer} {claims['jti']}", ends):
        raise _Refusal("assertion_replayed")
    owner = await context.find_vouched(context.tx, issuer, claims, context.origin)
    if owner is None:
        raise _Refusal("person_unknown")
    return owner


def _scopes(
    context: TokenContext,
    claims: Mapping[str, Any],
    request: AssertionRequest,
    resource: Resource,
    owner: ResourceOwner,
) -> tuple[str, ...]:
    """What is asked for, as far as the assertion allows it, it means something there, and the person may have it."""
    allowed = parse_scope(claims["scope"]) if isinstance(claims.get("scope"), str) else ()
    wanted = request.scopes or allowed
    known = (name for name in known_scopes(resource, context.policy) if name not in SERVER_SCOPES)
    scopes = tuple(name for name in known if name in allowed and name in wanted)
    scopes = for_person(scopes, owner.is_admin, context.policy.catalogue)
    if not scopes:
        raise InvalidScope("The assertion allows nothing of this scope here.")
    return scopes


async def _grant(
    context: TokenContext, client: Client, resource: Resource, owner: ResourceOwner, scopes: tuple[str, ...]
) -> Grant:
    """What hangs on this assertion; it ends with the only access token that it gives."""
    now = context.origin.now
    grant = Grant(
        id=mint_id("grant_"),
        user_id=owner.id,
        client_id=client.client_id,
        resource=resource.url,
        scope=format_scope(scopes),
        redirect_uri=None,
        reference=mint_reference(),
        created_at=now,
        expires_at=now + context.policy.access_token_lifetime,
        grant_type=GRANT_TYPE,
    )
    await grant_store.add_grant(context.tx, grant)
    await record(
        context.tx,
        "token.issued",
        context.origin,
        user_id=owner.id,
        client_id=client.client_id,
        grant_id=grant.id,
        reference=grant.reference,
    )
    return grant
