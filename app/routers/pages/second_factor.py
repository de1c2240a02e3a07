"""The second step of a sign-in: a code, a recovery code or a passkey after the password."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import one_time_codes, passkeys, recovery_codes, second_factor, store
from app.accounts.passkeys import Ceremony, Purpose
from app.accounts.records import PendingSignIn, User
from app.accounts.second_factor import MULTIPLE, Factors, TooManyTries
from app.accounts.sign_in import find_just_started
from app.audit import Origin, record
from app.database import Transaction
from app.oauth.errors import AccessDenied
from app.oauth.parameters import Parameters
from app.routers.browser import Browser, BrowserDep, forged, set_session
from app.routers.dependencies import OriginDep, ServicesDep, TransactionDep
from app.routers.errors import PageError
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.next_step import PARAMETERS, NextStep, find_next_step
from app.routers.pages.passkey_forms import passkey_request, relying_party
from app.routers.pages.render import render_page
from app.routers.pages.signing_in import complete_sign_in
from app.routers.services import Services

router = APIRouter(tags=["pages"])
_PATH = "/login/second"
_RETRY_AFTER = 1800
_FIELDS = ("sign_in", "code", "recovery_code", "credential")
_WRONG_CODE = "That code is not right, or was used before. Each code of the app works once."
_WRONG_PASSKEY = "That passkey is not one of yours here. Use another way."
_USED_UP = "That was wrong too often. Sign in again to go on."
_SLOW_DOWN = "Too many codes were wrong. Wait half an hour, or use a browser that you signed in with before."


@router.get("/login/second")
async def show(
    http: Request,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    tx: TransactionDep,
    sign_in: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Ask for the second factor."""
    pending, user = await _find(tx, services, browser, sign_in, origin)
    return await _page(http, tx, services, browser, origin, pending, user, sign_in)


@router.post("/login/second")
async def finish(
    http: Request,
    form: PageFormDep,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> Response:
    """Check the second factor. A try is counted before it is made; what was right ends the waiting, and the second
    request of a double click has the answer of the first.
    """
    sign_in = field_of(form, "sign_in")
    token = field_of(form, "csrf_token")
    if not services.keys.form_token_matches(token, "second-factor", browser.id, sign_in):
        raise forged()
    session_ids = services.keys.sessions(browser.id, *(field_of(form, name) for name in _FIELDS))
    try:
        pending, user = await _find(tx, services, browser, sign_in, origin)
    except PageError:
        if again := await _answer_again(tx, services, browser, form, session_ids, origin):
            return again
        raise
    known_as = browser.id if await store.knows_device(tx, user.id, browser.hashes(services.keys)) else None

    async def refuse(reason: str, error: str, status: int) -> Response:
        services.reporter.count(_PATH, reason)
        await record(
            tx,
            "user.second_factor_refused",
            origin,
            outcome="access_denied",
            reason=reason,
            user_id=user.id,
        )
        return await _page(http, tx, services, browser, origin, pending, user, sign_in, error, status)

    if not await services.limits.may_try_second_factor(user.id, known_as):
        return await refuse("too_many_tries", _SLOW_DOWN, 429)
    try:
        await second_factor.count_try(tx, pending)
        method = await _take(tx, services, browser, user, form, origin)
    except TooManyTries:
        # Others at the same sign-in may have been right meanwhile, with the same form.
        again = await _answer_again(tx, services, browser, form, session_ids, origin)
        return again or await refuse("tries_used_up", _USED_UP, 403)
    except passkeys.Refused as error:
        return await refuse(error.reason, _WRONG_PASSKEY, 401)
    if method is None:
        return await refuse("wrong_code", _WRONG_CODE, 401)
    await second_factor.finish(tx, pending)
    methods = [*pending.methods.split(), method, MULTIPLE]
    step = await _next_step(tx, services, browser, pending)
    response = await complete_sign_in(
        tx, http, services, browser, origin, user, methods, step, session_ids[0]
    )
    await services.limits.forget_second_factor_tries(user.id, known_as)
    return response


async def _answer_again(
    tx: Transaction,
    services: Services,
    browser: Browser,
    form: Parameters,
    session_ids: Sequence[str],
    origin: Origin,
) -> Response | None:
    """The answer that this very form had a moment ago in this browser; None when it was not right, or is long over.

    Codes can't be guessed here either: what is asked about one sign-in is counted.
    """
    if not await services.limits.may_try_second_factor(field_of(form, "sign_in"), browser.id):
        return None
    session_id = await find_just_started(tx, services.keys, session_ids, origin.now)
    if session_id is None:
        return None
    step = await find_next_step(tx, services, browser, {name: field_of(form, name) for name in PARAMETERS})
    response = RedirectResponse(services.address.path(step.path), 303, {"Cache-Control": "no-store"})
    set_session(response, services, session_id)
    return response


async def _take(
    tx: Transaction, services: Services, browser: Browser, user: User, form: Parameters, origin: Origin
) -> str | None:
    """How RFC 8176 calls what was shown; None for a code that is not right.

    Raises:
        Refused: a passkey that is not taken.
    """
    if answer := field_of(form, "credential"):
        if (party := relying_party(services)) is None:
            raise passkeys.Refused("malformed", user.id)
        ceremony = Ceremony(Purpose.SECOND_FACTOR, browser.id, user.id)
        return passkeys.method_of(
            await passkeys.authenticate(tx, services.keys, party, ceremony, answer, origin)
        )
    right = await one_time_codes.take(
        tx, services.keys, user.id, field_of(form, "code"), origin
    ) or await recovery_codes.take(tx, services.keys, user.id, field_of(form, "recovery_code"), origin)
    return "otp" if right else None


async def _find(
    tx: Transaction, services: Services, browser: Browser, sign_in: str, origin: Origin
) -> tuple[PendingSignIn, User]:
    """What waits in this browser.

    Raises:
        PageError: nothing does.
    """
    found = await second_factor.find(tx, services.keys, sign_in, browser.hashes(services.keys), origin)
    if found is None:
        what = "This sign-in waited too long, was finished before, or belongs to another browser."
        raise PageError(
            "Sign in again",
            what,
            who="You can, by signing in again.",
            advice="Go back to the app or to the sign-in page, and start again.",
            cause=AccessDenied(what, reason="sign_in_not_waiting"),
        )
    return found


async def _next_step(
    tx: Transaction, services: Services, browser: Browser, pending: PendingSignIn
) -> NextStep:
    return await find_next_step(tx, services, browser, dict(parse_qsl(pending.onward)))


async def _page(
    http: Request,
    tx: Transaction,
    services: Services,
    browser: Browser,
    origin: Origin,
    pending: PendingSignIn,
    user: User,
    sign_in: str,
    error: str | None = None,
    status: int = 200,
) -> Response:
    step = await _next_step(tx, services, browser, pending)
    factors = await second_factor.factors_of(tx, user.id)
    context = {
        "path": _PATH,
        "csrf_token": services.keys.form_token("second-factor", browser.id, sign_in),
        "sign_in": sign_in,
        "fields": step.fields,
        "client_name": step.waiting.client.display_name if step.waiting else None,
        "user": {"username": user.username, "name": user.name},
        "codes": factors.authenticator is not None,
        "recovery_codes": factors.recovery_codes_left > 0,
        "passkey": _passkey_request(services, browser, user, factors, origin),
        "again_path": f"/login?{step.query}",
        "used_up": status == 403,
        "error": error,
        "retry_after": _RETRY_AFTER if status == 429 else None,
    }
    page = render_page(http, "second_factor.html", context, status=status, forms_lead_away=True, script=True)
    if status == 429:
        page.headers["Retry-After"] = str(_RETRY_AFTER)
    return page


def _passkey_request(
    services: Services, browser: Browser, user: User, factors: Factors, origin: Origin
) -> str | None:
    if not factors.passkeys:
        return None
    ceremony = Ceremony(Purpose.SECOND_FACTOR, browser.id, user.id)
    return passkey_request(services, ceremony, factors.passkeys, origin.now)
