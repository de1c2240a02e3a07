"""What a person decides about a parked request (OAuth 2.1 §4.1.2): the address to send the browser to.

Refused, in this order:

 1. a sign-in that the request did not ask for     login_required
 2. a request that was answered, or is too old     `AlreadyAnswered`
 3. a client that was disabled or removed          `UnknownClient`
 4. a client that says something else meanwhile    `UnknownClient`, invalid_request
"""

from datetime import datetime

from app.audit import Origin, record
from app.authorization_server import authentication, grant_store, store
from app.authorization_server.authentication import SignIn
from app.authorization_server.authorization import UnknownClient, error_address, response_address
from app.authorization_server.client_snapshot import snapshot_of
from app.authorization_server.policy import Policy
from app.authorization_server.records import (
    Answer,
    AuthorizationCode,
    AuthorizationRequest,
    Client,
    Decision,
    Grant,
    ResourceOwner,
)
from app.database import Transaction
from app.oauth.credentials import Keys, mint_id
from app.oauth.errors import AccessDenied, InvalidRequest, LoginRequired
from app.oauth.scopes import format_scope
from app.oauth.uris import redirect_uri_matches


class AlreadyAnswered(Exception):
    """The request was approved or denied before, or waited too long."""


async def approve(
    tx: Transaction,
    keys: Keys,
    policy: Policy,
    request: AuthorizationRequest,
    owner: ResourceOwner,
    sign_in: SignIn,
    origin: Origin,
    answer: Answer,
) -> str:
    """Grant what the person ticked of what was shown, and return the address with the code.

    The spent request, the grant and the code are one transaction.

    Raises:
        LoginRequired: the request waits for a later sign-in, or for someone else.
        AlreadyAnswered: the request is spent or too old.
        UnknownClient, InvalidRequest: the client was disabled or changed its metadata meanwhile.
    """
    if not authentication.demand_of(request).is_met_by(sign_in):
        raise LoginRequired("The app asks you to sign in again.", client_id=request.client_id)
    client = await _spend_for_client(tx, request, origin.now)
    code = keys.codes(request.id)[0]
    grant = _new_grant(policy, request, owner, sign_in, client, answer, origin.now)
    stored_code = AuthorizationCode(
        code_hash=keys.hash(code),
        grant_id=grant.id,
        code_challenge=request.code_challenge,
        dpop_jkt=request.dpop_jkt,
        created_at=origin.now,
        expires_at=origin.now + policy.code_lifetime,
        nonce=request.nonce,
    )
    await grant_store.add_grant(tx, grant)
    await grant_store.add_code(tx, stored_code)
    await record(
        tx,
        "grant.approved",
        origin,
        user_id=owner.id,
        client_id=client.client_id,
        grant_id=grant.id,
        reference=request.reference,
    )
    return response_address(request.redirect_uri, policy, request.state, {"code": code})


async def _spend_for_client(tx: Transaction, request: AuthorizationRequest, now: datetime) -> Client:
    """Take the request as approved, and find its client as it was when the person was asked."""
    client = await store.hold_client(tx, request.client_id)
    if not await store.spend_request(tx, request.id, "approve", now):
        raise AlreadyAnswered
    if client is None or client.disabled_at is not None:
        raise UnknownClient("The app was disabled here.", reason="client_disabled")
    _check_document_stands(client, request)
    if not any(redirect_uri_matches(uri, request.redirect_uri) for uri in client.redirect_uris):
        raise InvalidRequest(
            "redirect_uri is no longer registered for this app.", reason="redirect_uri_mismatch"
        )
    return client


def _new_grant(
    policy: Policy,
    request: AuthorizationRequest,
    owner: ResourceOwner,
    sign_in: SignIn,
    client: Client,
    answer: Answer,
    now: datetime,
) -> Grant:
    return Grant(
        id=mint_id("grant_"),
        user_id=owner.id,
        client_id=request.client_id,
        resource=request.resource,
        scope=format_scope(answer.scopes),
        redirect_uri=request.redirect_uri,
        reference=request.reference,
        created_at=now,
        expires_at=now + policy.lifetime_of_grant(answer.stays),
        authenticated_at=sign_in.at,
        authentication_methods=" ".join(sign_in.methods),
        client_snapshot=snapshot_of(client, stays=answer.stays),
    )


def _check_document_stands(client: Client, request: AuthorizationRequest) -> None:
    """The person saw what the document said when the app asked (client ID metadata documents, draft-01 §6.3)."""
    if client.document_withdrawn_at is not None:
        raise UnknownClient(
            "The app took its description back.", reason="document_gone", client_id=client.client_id
        )
    if client.changed_at is not None and client.changed_at > request.created_at:
        raise UnknownClient(
            "The app changed its description meanwhile.",
            reason="document_changed",
            client_id=client.client_id,
        )


async def deny(
    tx: Transaction, policy: Policy, request: AuthorizationRequest, owner: ResourceOwner, origin: Origin
) -> str:
    """Refuse what was asked and return the address that tells the client.

    Raises:
        AlreadyAnswered: the request is spent or too old.
    """
    if not await store.spend_request(tx, request.id, "deny", origin.now):
        raise AlreadyAnswered
    await record(
        tx,
        "grant.denied",
        origin,
        outcome=AccessDenied.error,
        user_id=owner.id,
        client_id=request.client_id,
        reference=request.reference,
    )
    return _denied(policy, request)


async def answer_again(
    tx: Transaction,
    keys: Keys,
    policy: Policy,
    request: AuthorizationRequest,
    owner: ResourceOwner,
    decision: Decision,
    now: datetime,
) -> str:
    """The address that the same answer led to a moment ago: for a second click, or an answer that got lost.

    The browser leaves for the last address that it is given, so that one must be as good as the first.

    Raises:
        AlreadyAnswered: it was answered otherwise, or what came of it is used, taken back or over.
    """
    if decision == "deny":
        answered = await store.find_request(tx, request.id, [request.browser_hash])
        decided_at = answered.decided_at if answered and answered.decision == "deny" else None
        if decided_at is None or now >= decided_at + policy.code_lifetime:
            raise AlreadyAnswered
        return _denied(policy, request)
    for code in keys.codes(request.id):
        found = await grant_store.lock_by_code(tx, keys.hashes(code))
        if found and _is_good(*found, owner, now):
            return response_address(request.redirect_uri, policy, request.state, {"code": code})
    raise AlreadyAnswered


def _is_good(code: AuthorizationCode, grant: Grant, owner: ResourceOwner, now: datetime) -> bool:
    return (
        code.spent_at is None
        and code.expires_at > now
        and grant.revoked_at is None
        and grant.user_id == owner.id
    )


def _denied(policy: Policy, request: AuthorizationRequest) -> str:
    denied = AccessDenied("The person did not allow it.")
    return error_address(request.redirect_uri, policy, request.state, denied)
