"""The page on which a person types the code of a device and decides about it (RFC 8628 §3.3).

GET  /device           asks for the code
POST /device           looks it up; only this is a try
GET  /device/decision  asks about the device, for whoever typed the right code; afterwards, says how it ended
POST /device/decision  the answer
"""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from app.accounts.sign_in import SignedIn
from app.audit import Origin
from app.authorization_server import grant_store
from app.authorization_server.consent import Proposal, propose, record_step_up
from app.authorization_server.decisions import AlreadyAnswered
from app.authorization_server.device_authorization import (
    Found,
    TooManyWrongCodes,
    WrongCode,
    approve,
    deny,
    find,
    format_user_code,
    read_user_code,
    try_code,
)
from app.authorization_server.public_addresses import network_of
from app.authorization_server.records import Client, ResourceOwner
from app.database import Transaction
from app.oauth.errors import AccessDenied, OAuthError
from app.oauth.features import Feature
from app.oauth.scopes import format_scope
from app.routers.authorize import ANSWER_HEADERS, broken_request
from app.routers.browser import BrowserDep, as_sign_in, forged, signed_in
from app.routers.dependencies import (
    OriginDep,
    ServicesDep,
    TransactionDep,
    find_owner,
    requires_feature,
    resource_owner,
)
from app.routers.errors import PageError
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.next_step import next_is_device
from app.routers.pages.permissions import answer_of
from app.routers.pages.question import question
from app.routers.pages.render import render_page
from app.routers.services import Services

router = APIRouter(tags=["pages"], dependencies=[requires_feature(Feature.DEVICE)])
_WRONG = (
    "That code is not right, or no longer good. Each works once, for ten minutes: look at your device again."
)
_SLOW_DOWN = "Too many codes were wrong."

TypedDep = Annotated[str, Query(alias="user_code", max_length=100)]


@router.get("/device")
async def show_code_form(
    http: Request, services: ServicesDep, browser: BrowserDep, origin: OriginDep, typed: TypedDep = ""
) -> Response:
    """Ask for the code. One that the address brings along is filled in; nothing is looked up or sent by itself
    (RFC 8628 §3.3.1, §5.4).
    """
    async with services.database.transaction() as tx:
        current = await signed_in(tx, services, browser, origin)
    if current is None:
        return _redirect(_sign_in_address(services, typed))
    return _code_page(http, services, current, typed)


@router.post("/device")
async def enter_code(
    http: Request,
    form: PageFormDep,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> Response:
    """Try the code; whoever typed the right one is asked about the device."""
    current, typed = await signed_in(tx, services, browser, origin), field_of(form, "user_code")
    if current is None:
        return _redirect(_sign_in_address(services, typed))
    if not services.keys.form_token_matches(field_of(form, "csrf_token"), *_code_form(current)):
        raise forged()
    try:
        if not await services.limits.may_try_code(origin.source):
            raise TooManyWrongCodes
        owner = resource_owner(current.user)
        found = await try_code(tx, services.keys, services.policy, typed, owner, origin)
    except WrongCode:
        await services.limits.count_wrong_code(origin.source)
        services.reporter.count("/device", "wrong_code")
        return _code_page(http, services, current, typed, error=_WRONG, status=400)
    except TooManyWrongCodes:
        services.reporter.count("/device", "too_many_codes")
        return _code_page(http, services, current, typed, error=_SLOW_DOWN, status=429)
    return _redirect(_decision_address(services, current, found.user_code))


@router.get("/device/decision")
async def show_decision(
    http: Request,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    tx: TransactionDep,
    typed: TypedDep = "",
    proof: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Ask about the device, or say how it ended. The proof is checked before the code is looked up: this is no second
    place to try codes at, not even by the time that an answer takes.
    """
    current, code = await signed_in(tx, services, browser, origin), read_user_code(typed)
    if current is None:
        return _redirect(_sign_in_address(services, typed))
    if code is None or not services.keys.form_token_matches(proof, *_decision_form(current, code)):
        return _redirect(services.address.path(next_is_device(typed).address))
    found = await find(tx, services.keys, code)
    if found is None or (found.device.decided_at is None and origin.now >= found.device.expires_at):
        raise _start_again("The device waited too long for an answer.")
    if found.device.decided_at is not None:
        return await _outcome(http, tx, found, current)
    proposal = await _propose(tx, services, found, resource_owner(current.user), origin.now)
    context = {
        **await question(services, found.device, found.client, current, proposal),
        "action": services.address.path("/device/decision"),
        "csrf_token": services.keys.form_token(*_decision_form(current, code)),
        "shown": services.keys.form_token(*_shown(found.client, proposal)),
        "switch_url": _sign_in_address(services, code) + "&switch=true",
        "redirect": {"kind": "device"},
        "device": _device(found, origin),
    }
    return render_page(http, "consent.html", context)


@router.post("/device/decision")
async def decide(
    form: PageFormDep,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> Response:
    """Approve or deny; the first answer counts.

    Locks are taken in the order person, client, device, grant.
    """
    current = await signed_in(tx, services, browser, origin, touch=False)
    code = read_user_code(field_of(form, "user_code"))
    decision = field_of(form, "decision")
    if current is None or code is None or decision not in {"approve", "deny"}:
        raise forged()
    if not services.keys.form_token_matches(field_of(form, "csrf_token"), *_decision_form(current, code)):
        raise forged()
    owner = await find_owner(tx, current.user.id, hold=True)
    found = await find(tx, services.keys, code)
    if owner is None or found is None:
        raise forged()
    proposal = await _propose(tx, services, found, owner, origin.now)
    if not services.keys.form_token_matches(field_of(form, "shown"), *_shown(found.client, proposal)):
        raise forged()
    policy, device = services.policy, found.device
    try:
        answer = answer_of(form, proposal)
        if decision == "approve" and answer.scopes and not proposal.is_empty:
            await approve(tx, policy, found, owner, answer, as_sign_in(current), origin)
            await record_step_up(
                tx, proposal, answer.scopes, owner.id, device.client_id, device.reference, origin
            )
        else:
            await deny(tx, policy, device, owner, origin)
    except AlreadyAnswered:
        services.reporter.count("/device", "answered_before")  # the page says how it ended
    except OAuthError as error:
        raise broken_request(error) from None
    return _redirect(_decision_address(services, current, code))


def _code_page(
    http: Request,
    services: Services,
    current: SignedIn,
    typed: str,
    *,
    error: str | None = None,
    status: int = 200,
) -> Response:
    code = read_user_code(typed)
    wait = int(services.policy.device_code_lifetime.total_seconds())
    context = {
        "action": services.address.path("/device"),
        "csrf_token": services.keys.form_token(*_code_form(current)),
        "user": {"username": current.user.username, "name": current.user.name},
        "switch_url": _sign_in_address(services, typed) + "&switch=true",
        "user_code": format_user_code(code) if code else "",
        "error": error,
        "retry_after": wait if status == 429 else None,
    }
    page = render_page(http, "device.html", context, status=status)
    if status == 429:
        page.headers["Retry-After"] = str(wait)
    return page


async def _outcome(http: Request, tx: Transaction, found: Found, current: SignedIn) -> Response:
    """How it ended, for the person who decided; whether they approved is known by the grant."""
    grant_id = found.device.grant_id
    grant = await grant_store.find_grant(tx, grant_id) if grant_id else None
    if grant is not None and (grant.user_id != current.user.id or grant.revoked_at is not None):
        raise _start_again("This device was answered already.")
    context = {
        "approved": grant is not None,
        "name": found.client.display_name,
        "reference": found.device.reference,
    }
    return render_page(http, "device_done.html", context)


def _redirect(address: str) -> Response:
    return RedirectResponse(address, 303, ANSWER_HEADERS)


def _sign_in_address(services: Services, typed: str) -> str:
    """The sign-in page that leads back here, with the code kept."""
    return services.address.path(f"/login?device={next_is_device(typed).field}")


def _decision_address(services: Services, current: SignedIn, user_code: str) -> str:
    """Where someone decides who typed the right code; of no use in another session."""
    proof = services.keys.form_token(*_decision_form(current, user_code))
    query = urlencode({"user_code": format_user_code(user_code), "proof": proof})
    return services.address.path(f"/device/decision?{query}")


async def _propose(
    tx: Transaction, services: Services, found: Found, owner: ResourceOwner, now: datetime
) -> Proposal:
    device = found.device
    return await propose(tx, services.policy, owner, device.client_id, device.resource, device.scope, now)


def _device(found: Found, origin: Origin) -> dict[str, Any]:
    """What is known about the device itself, for the person to compare (RFC 8628 §5.4)."""
    minutes = int((origin.now - found.device.created_at).total_seconds()) // 60
    source = found.device.source or "an unknown address"
    return {
        "user_code": format_user_code(found.user_code),
        "source": source,
        "same_network": network_of(source) == network_of(origin.source),
        "asked": "just now" if minutes == 0 else "1 minute ago" if minutes == 1 else f"{minutes} minutes ago",
    }


def _code_form(current: SignedIn) -> tuple[str, ...]:
    """What the token of the first form is bound to."""
    return ("device", current.session_hash)


def _decision_form(current: SignedIn, user_code: str) -> tuple[str, ...]:
    """What the token of the second form is bound to: only who typed the right code has one."""
    return ("device-decision", current.session_hash, user_code)


def _shown(client: Client, proposal: Proposal) -> tuple[str, ...]:
    """What the person saw: when the app or what it would get changes, the answer was not given to it."""
    changed = client.changed_at.isoformat() if client.changed_at else ""
    return ("device-shown", client.client_id, client.display_name, changed, format_scope(proposal.scopes))


def _start_again(what: str) -> PageError:
    return PageError(
        "Start again",
        what,
        who="You can, by starting again.",
        advice="Begin again on the device: it shows you a new code.",
        cause=AccessDenied(what, reason="device_not_waiting"),
    )
