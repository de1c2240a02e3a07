"""The authorization endpoint's rules (OAuth 2.1 §4.1, RFC 7636, RFC 8707, RFC 9207).

identify -> ClientRedirect        a failure is a page: nobody proved where an answer may go
validate -> ValidRequest          a failure may be told to the client by redirect
check    -> Demand                which sign-in may answer (`app.authorization_server.authentication`)
park     -> AuthorizationRequest  waits, bound to the browser, for sign-in and consent
decide   -> the address to send the browser to (`app.authorization_server.decisions`)
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import urlencode

from app.authorization_server import authentication, store
from app.authorization_server.authentication import AuthenticationRequest, Demand
from app.authorization_server.authorization_details import refuse_authorization_details
from app.authorization_server.policy import Policy, Resource
from app.authorization_server.records import (
    AuthorizationRequest,
    Client,
    DeviceAuthorization,
    Grant,
    ResourceOwner,
)
from app.database import Transaction
from app.oauth import pkce
from app.oauth.credentials import TokenHash, mint_reference
from app.oauth.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    OAuthError,
    RequestNotSupported,
    RequestURINotSupported,
    UnauthorizedClient,
    UnsupportedResponseType,
)
from app.oauth.features import Feature
from app.oauth.parameters import Parameters
from app.oauth.scopes import SERVER_SCOPES, format_scope, parse_scope
from app.oauth.uris import redirect_uri_matches

_LONGEST_STATE = 4096
# Of one browser; when there are more, the oldest is forgotten.
_MOST_WAITING = 20
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class ClientRedirect:
    """A known client and a redirect URI that is registered for it: answers may go there."""

    client: Client
    redirect_uri: str
    state: str | None


@dataclass(frozen=True, slots=True)
class ValidRequest:
    """An authorization request whose every parameter was checked."""

    target: ClientRedirect
    scopes: tuple[str, ...]
    dropped: tuple[str, ...]
    resource: str
    code_challenge: str
    authentication: AuthenticationRequest
    dpop_jkt: str | None = None


class UnknownClient(OAuthError):
    """The client is unknown, disabled or deleted; shown to the person, never redirected."""

    error = "invalid_client"


async def identify(tx: Transaction, parameters: Parameters) -> ClientRedirect:
    """Find out who asks and where the answer may go (RFC 6749 §4.1.2.1: until then, never redirect).

    Raises:
        UnknownClient: no such client, or it is disabled.
        InvalidRequest: the redirect URI is not registered, or none was named and there are several.
    """
    client_id = parameters.require("client_id")
    client = await store.find_client(tx, client_id)
    if client is None:
        raise UnknownClient("The app is not registered here.", reason="unknown_client")
    if client.disabled_at is not None:
        raise UnknownClient(
            "The app was disabled here.", reason="client_disabled", client_id=client.client_id
        )
    requested = parameters.get("redirect_uri")
    if requested is None:
        if len(client.redirect_uris) != 1:
            raise InvalidRequest(
                "redirect_uri is required.", reason="redirect_uri_missing", client_id=client.client_id
            )
        redirect_uri = client.redirect_uris[0]
    elif any(redirect_uri_matches(registered, requested) for registered in client.redirect_uris):
        redirect_uri = requested
    else:
        raise InvalidRequest(
            "redirect_uri is not registered for this app.",
            reason="redirect_uri_mismatch",
            client_id=client.client_id,
        )
    return ClientRedirect(client, redirect_uri, parameters.get("state"))


def validate(parameters: Parameters, target: ClientRedirect, policy: Policy) -> ValidRequest:
    """Check the rest of the request.

    Raises:
        InvalidRequest, RequestNotSupported, RequestURINotSupported, InvalidAuthorizationDetails,
        UnsupportedResponseType, UnauthorizedClient, InvalidScope, InvalidTarget.
    """
    if len(target.state or "") > _LONGEST_STATE:
        raise InvalidRequest("state is too long.")
    if parameters.get("request") is not None:
        raise RequestNotSupported("Request objects are not supported.")
    if parameters.get("request_uri") is not None:
        raise RequestURINotSupported("request_uri must be one that this server gave out.")
    refuse_authorization_details(parameters)
    if parameters.require("response_type") != "code":
        raise UnsupportedResponseType("response_type must be code.")
    if "authorization_code" not in target.client.grant_types:
        raise UnauthorizedClient("This client may not use the authorization code grant.")
    if parameters.get("response_mode") not in {None, "query"}:
        raise InvalidRequest("response_mode must be query.")
    challenge = pkce.check_challenge(
        parameters.get("code_challenge"), parameters.get("code_challenge_method")
    )
    resource = choose_resource(parameters.all("resource"), policy)
    scopes, dropped = choose_scopes(parameters.get("scope"), resource, policy, target.client.scope)
    key = _choose_key(parameters.get("dpop_jkt"), policy)
    asked = authentication.parse(parameters, policy)
    return ValidRequest(target, scopes, dropped, resource.url, challenge, asked, key)


def _choose_key(dpop_jkt: str | None, policy: Policy) -> str | None:
    """The key that the code is to be bound to (RFC 9449 §10).

    Raises:
        InvalidRequest: no thumbprint.
    """
    if dpop_jkt is None or not policy.has(Feature.DPOP):
        return None
    if not _THUMBPRINT.match(dpop_jkt):
        raise InvalidRequest("dpop_jkt must be the SHA-256 thumbprint of a key.")
    return dpop_jkt


def choose_scopes(
    scope: str | None, resource: Resource, policy: Policy, registered: str | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The scopes that can be granted and those that are dropped because they mean nothing at this resource.

    Without a `scope`, what the client registered is offered, or else what the resource asks for at first (RFC 6749
    §3.3). What a client wrote about itself is such a default and no limit (RFC 7591 §2): it may need more later, when
    it steps up, and a person decides either way.

    Raises:
        InvalidScope: malformed, or nothing of it is known.
    """
    names = parse_scope(scope)
    known = known_scopes(resource, policy)
    if not names:
        usual = parse_scope(registered)
        return tuple(name for name in known if name in usual) or policy.first_scopes(resource), ()
    granted = tuple(name for name in known if name in names)
    if not granted:
        raise InvalidScope("None of the requested scopes is known here.")
    return granted, tuple(name for name in names if name not in known)


def known_scopes(resource: Resource, policy: Policy) -> tuple[str, ...]:
    """What can be granted for a resource, in the catalogue's order: its own scopes and this server's."""
    return tuple(name for name in policy.scopes if name in resource.scopes or name in SERVER_SCOPES)


def choose_resource(requested: tuple[str, ...], policy: Policy) -> Resource:
    """The one resource that tokens will be for.

    Raises:
        InvalidTarget: a value that is not a resource of ours, or two that name different ones (RFC 8707 §2).
    """
    named = {policy.find_resource(value).url: policy.find_resource(value) for value in requested}
    if len(named) > 1:
        raise InvalidTarget("resource must name one resource at a time.")
    return next(iter(named.values()), policy.default_resource)


def check_resource(
    requested: tuple[str, ...], authorized: Grant | DeviceAuthorization, policy: Policy
) -> None:
    """Hold a token request to the resource that was authorized (RFC 8707 §2.2).

    Raises:
        InvalidTarget: it names another one.
    """
    if requested and choose_resource(requested, policy).url != authorized.resource:
        raise InvalidTarget("resource differs from the one that was authorized.")


async def park(
    tx: Transaction,
    request: ValidRequest,
    demand: Demand,
    browser_hash: TokenHash,
    policy: Policy,
    now: datetime,
    request_id: str,
) -> AuthorizationRequest:
    """Keep a valid request for the person to answer, for a few minutes and for this browser only."""
    parked = AuthorizationRequest(
        id=request_id,
        reference=mint_reference(),
        browser_hash=browser_hash,
        client_id=request.target.client.client_id,
        redirect_uri=request.target.redirect_uri,
        scope=format_scope(request.scopes),
        dropped_scope=format_scope(request.dropped),
        resource=request.resource,
        state=request.target.state,
        code_challenge=request.code_challenge,
        dpop_jkt=request.dpop_jkt,
        created_at=now,
        expires_at=now + policy.request_lifetime,
        nonce=request.authentication.nonce,
        signed_in_after=demand.signed_in_after,
        subject=demand.subject,
        login_hint=request.authentication.login_hint,
    )
    await store.add_request(tx, parked)
    await store.drop_older_requests(tx, parked, _MOST_WAITING - 1)
    return parked


class FindResourceOwner(Protocol):
    """How the accounts tell who stands behind a user id; None for someone deleted or disabled.

    `hold` keeps the answer true until the transaction ends.
    """

    async def __call__(
        self, tx: Transaction, user_id: str, *, hold: bool = False
    ) -> ResourceOwner | None: ...


def error_address(redirect_uri: str, policy: Policy, state: str | None, error: OAuthError) -> str:
    """Where a refused request sends the browser (RFC 6749 §4.1.2.1)."""
    answer = {"error": error.error, "error_description": error.description}
    return response_address(redirect_uri, policy, state, answer)


def response_address(redirect_uri: str, policy: Policy, state: str | None, answer: dict[str, str]) -> str:
    """The redirect URI with the answer, the exact `state` and `iss` (RFC 9207 §2), its own query kept."""
    parameters = {**answer, **({"state": state} if state is not None else {}), "iss": policy.issuer}
    return redirect_uri + ("&" if "?" in redirect_uri else "?") + urlencode(parameters)
