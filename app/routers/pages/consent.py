"""The page on which a person decides whether an app may act for them."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.accounts.sign_in import SignedIn
from app.audit import Origin
from app.authorization_server import store
from app.authorization_server.authentication import SignIn, demand_of
from app.authorization_server.client_snapshot import snapshot_of
from app.authorization_server.consent import Proposal, propose, record_step_up
from app.authorization_server.decisions import AlreadyAnswered, answer_again, approve, deny
from app.authorization_server.records import Answer, AuthorizationRequest, Client, Decision, ResourceOwner
from app.database import Transaction
from app.oauth.errors import AccessDenied, OAuthError
from app.oauth.scopes import format_scope
from app.oauth.uris import redirect_target
from app.routers.authorize import ANSWER_HEADERS, AdmissionDep, broken_request
from app.routers.browser import BrowserDep, as_sign_in, forged, sign_in_of, signed_in
from app.routers.dependencies import (
    OriginDep,
    ServicesDep,
    TransactionDep,
    find_owner,
    resource_owner,
)
from app.routers.errors import PageError
from app.routers.pages.forms import PageFormDep
from app.routers.pages.permissions import answer_of
from app.routers.pages.question import question
from app.routers.pages.render import render_page
from app.routers.services import Services

router = APIRouter(tags=["pages"])


@router.get("/consent/{request_id}")
async def show_consent(
    http: Request,
    request_id: str,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    _admission: AdmissionDep,
    tx: TransactionDep,
) -> Response:
    """Ask; someone who is not signed in, or not as the app demands, signs in first and comes back."""
    found = await store.find_request(tx, request_id, browser.hashes(services.keys))
    waiting = _check_waiting(found, origin.now)
    current = await signed_in(tx, services, browser, origin)
    if current is None or not demand_of(waiting).is_met_by(sign_in_of(current)):
        return RedirectResponse(services.address.path(f"/login?request={request_id}"), 303, ANSWER_HEADERS)
    client = await store.find_client(tx, waiting.client_id)
    if client is None:
        raise _start_again("The app was removed from this server.")
    owner = resource_owner(current.user)
    proposal = await _propose(tx, services, waiting, owner, origin.now)
    context = await _context(services, waiting, client, current, proposal)
    return render_page(http, "consent.html", context, forms_lead_away=True)


@router.post("/consent/{request_id}")
async def decide(
    form: PageFormDep,
    request_id: str,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    _admission: AdmissionDep,
    tx: TransactionDep,
) -> Response:
    """Approve or deny; the first answer counts, and the same answer given again gets what the first got.

    Locks are taken in the order person, client, request, grant, as the operator's commands take them.
    """
    current = await signed_in(tx, services, browser, origin, touch=False)
    waiting = await store.find_request(tx, request_id, browser.hashes(services.keys))
    client = await store.find_client(tx, waiting.client_id) if waiting else None
    tokens = form.all("csrf_token")
    if current is None or waiting is None or client is None or len(tokens) != 1:
        raise forged()
    owner = await find_owner(tx, current.user.id, hold=True)
    decision = form.all("decision")
    if owner is None or len(decision) != 1 or decision[0] not in {"approve", "deny"}:
        raise forged()
    proposal = await _propose(tx, services, waiting, owner, origin.now)
    if not services.keys.form_token_matches(tokens[0], *_question(current, waiting, client, proposal)):
        raise forged()
    if waiting.decided_at is None:
        _check_waiting(waiting, origin.now)
    try:
        answer = answer_of(form, proposal)
        allowed = decision[0] == "approve" and bool(answer.scopes) and not proposal.is_empty
        address = await _decide(
            tx, services, waiting, owner, as_sign_in(current), origin, answer if allowed else None, proposal
        )
    except AlreadyAnswered:
        raise _start_again("This question was answered already.") from None
    except OAuthError as error:
        raise broken_request(error) from None
    return RedirectResponse(address, 303, ANSWER_HEADERS)


async def _decide(
    tx: Transaction,
    services: Services,
    request: AuthorizationRequest,
    owner: ResourceOwner,
    sign_in: SignIn,
    origin: Origin,
    answer: Answer | None,
    proposal: Proposal,
) -> str:
    """Where the answer, None for a refusal, sends the browser."""
    keys, policy = services.keys, services.policy
    try:
        if answer is None:
            return await deny(tx, policy, request, owner, origin)
        address = await approve(tx, keys, policy, request, owner, sign_in, origin, answer)
    except AlreadyAnswered:
        given: Decision = "deny" if answer is None else "approve"
        return await answer_again(tx, keys, policy, request, owner, given, origin.now)
    client_id, reference = request.client_id, request.reference
    await record_step_up(tx, proposal, answer.scopes, owner.id, client_id, reference, origin)
    return address


async def _propose(
    tx: Transaction, services: Services, request: AuthorizationRequest, owner: ResourceOwner, now: datetime
) -> Proposal:
    return await propose(tx, services.policy, owner, request.client_id, request.resource, request.scope, now)


def _question(
    current: SignedIn, request: AuthorizationRequest, client: Client, proposal: Proposal
) -> tuple[str, ...]:
    """What the form's token is bound to: who was asked, by which request, about which app, and for what.

    When any of it changes between the page and the answer, the answer was not given to it.
    """
    said = snapshot_of(client)
    return ("consent", current.session_hash, request.id, said, format_scope(proposal.scopes))


def _check_waiting(request: AuthorizationRequest | None, now: datetime) -> AuthorizationRequest:
    """The request, if it still waits for an answer.

    Raises:
        PageError: there is none in this browser, it is too old, or it was answered.
    """
    if request is None:
        raise _start_again("No app waits for an answer in this browser.")
    if request.decided_at is not None:
        raise _start_again("This question was answered already.")
    if now >= request.expires_at:
        raise _start_again("The app waited too long for an answer.")
    return request


def _start_again(what: str) -> PageError:
    return PageError(
        "Start again",
        what,
        who="You can, by starting again.",
        cause=AccessDenied(what, reason="request_not_waiting"),
    )


async def _context(
    services: Services,
    request: AuthorizationRequest,
    client: Client,
    current: SignedIn,
    proposal: Proposal,
) -> dict[str, Any]:
    target = redirect_target(request.redirect_uri)
    return {
        **await question(services, request, client, current, proposal),
        "action": services.address.path(f"/consent/{request.id}"),
        "csrf_token": services.keys.form_token(*_question(current, request, client, proposal)),
        "switch_url": services.address.path(f"/login?request={request.id}&switch=true"),
        "redirect": {
            "kind": target.kind,
            "scheme": target.scheme,
            "host": target.host,
            "port": str(target.port) if target.port is not None else None,
        },
    }
