"""Signing in with a passkey alone: it names its owner, and recognised them before it signed."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts import passkeys, store
from app.accounts.passkeys import Ceremony, Purpose
from app.accounts.records import User
from app.accounts.second_factor import MULTIPLE
from app.audit import Origin, record
from app.database import Transaction
from app.routers.browser import Browser, BrowserDep, forged
from app.routers.dependencies import OriginDep, ServicesDep, TransactionDep
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.next_step import PARAMETERS, find_next_step
from app.routers.pages.passkey_forms import relying_party
from app.routers.pages.sign_in import SignInView, sign_in_page
from app.routers.pages.signing_in import complete_sign_in
from app.routers.services import Services

router = APIRouter(tags=["pages"])
_REFUSED = "That passkey is not good here. Use another one, or your name and password."


@router.post("/login/passkey")
async def sign_in(
    http: Request,
    form: PageFormDep,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> Response:
    """Check what the passkey signed; the session id is always a new one."""
    if browser.is_new or not services.keys.form_token_matches(
        field_of(form, "csrf_token"), "login", browser.id
    ):
        raise forged()
    step = await find_next_step(tx, services, browser, {name: field_of(form, name) for name in PARAMETERS})
    try:
        user, method = await _authenticate(tx, services, browser, field_of(form, "credential"), origin)
    except passkeys.Refused as error:
        services.reporter.count("/login/passkey", error.reason)
        if await services.limits.may_record(origin.source):
            await record(
                tx,
                "user.sign_in_refused",
                origin,
                outcome="access_denied",
                reason=error.reason,
                user_id=error.user_id,
            )
        return sign_in_page(http, services, browser, origin, SignInView(step), error=_REFUSED, status=401)
    return await complete_sign_in(tx, http, services, browser, origin, user, [method, MULTIPLE], step)


async def _authenticate(
    tx: Transaction, services: Services, browser: Browser, answer: str, origin: Origin
) -> tuple[User, str]:
    """Who signed, and how RFC 8176 calls the key.

    Raises:
        Refused
    """
    if (party := relying_party(services)) is None:
        raise passkeys.Refused("malformed")
    ceremony = Ceremony(Purpose.SIGN_IN, browser.id)
    passkey = await passkeys.authenticate(tx, services.keys, party, ceremony, answer, origin)
    user = await store.hold_user(tx, passkey.user_id)
    if user is None or user.disabled_at is not None:
        raise passkeys.Refused("user_disabled", passkey.user_id)
    return user, passkeys.method_of(passkey)
