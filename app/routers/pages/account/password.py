"""Another password, for whoever knows the one from before."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.accounts.people import Refused, change_password, hash_of
from app.accounts.records import User
from app.accounts.second_factor import is_awaited
from app.accounts.sign_in import authenticate, end_other_sessions, still_stands
from app.audit import Origin, record
from app.authorization_server.revocation import revoke_user
from app.oauth.parameters import Parameters
from app.routers.browser import BrowserDep
from app.routers.dependencies import OriginDep, ServicesDep
from app.routers.pages.account.security import PATH, security_page
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import Person, SignInFirst, find_person
from app.routers.services import Services

router = APIRouter()
_RETRY_AFTER = 300


class _NotChanged(Exception):
    """Why, in one sentence for the person, and the status of the answer."""

    def __init__(self, sentence: str, status: int = 422) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


@router.post("/security/password")
async def change(
    http: Request, form: PageFormDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Check the present password, which is limited as a sign-in is, and set the new one (ASVS 6.2.3)."""
    async with services.database.transaction() as tx:
        person = await find_person(http, tx, services, browser, origin)
        if await is_awaited(tx, person.id, person.signed_in.methods):
            # Whoever signed in before there was a second factor knows the password, and nothing more.
            raise SignInFirst(PATH, anew=True)
    person.check_form(form)
    try:
        await _change(services, person, form, origin)
    except _NotChanged as error:
        async with services.database.reading() as tx:
            page = await security_page(http, tx, person, error=error.sentence, status=error.status)
        if error.status == 429:
            page.headers["Retry-After"] = str(_RETRY_AFTER)
        return page
    address = services.address.path(f"{PATH}?done=password-changed")
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


async def _change(services: Services, person: Person, form: Parameters, origin: Origin) -> None:
    """Hashing takes long, so no transaction is open meanwhile; what was true before is looked at again after it.

    Raises:
        _NotChanged: with the reason.
    """
    new = field_of(form, "new")
    if new != field_of(form, "again"):
        raise _NotChanged("The new password was not the same twice. Nothing was changed.")
    user = await _check_present(services, person, field_of(form, "current"), origin)
    try:
        hashed = await hash_of(services.passwords, new)
    except Refused as error:
        raise _NotChanged(f"{error} Nothing was changed.") from None
    async with services.database.transaction() as tx:
        if not await still_stands(tx, user):
            raise _NotChanged("Your account was changed meanwhile. Nothing was changed here.", 409)
        await change_password(tx, user, hashed, origin)
        if field_of(form, "sign_out"):
            await end_other_sessions(tx, person.signed_in, origin)
        if field_of(form, "disconnect"):
            await revoke_user(tx, services.policy, user.id, "password_changed", origin)


async def _check_present(services: Services, person: Person, password: str, origin: Origin) -> User:
    user = person.signed_in.user
    # Counted by person: whoever holds the session's cookie can send any other cookie besides.
    if not await services.limits.may_try_password(user.username, origin.source, person.id):
        services.reporter.count(PATH, "too_many_tries")
        raise _NotChanged("Too many tries. Wait a few minutes, then try again.", 429)
    found = await authenticate(services.passwords, user, password)
    if found is None:
        services.reporter.count(PATH, "wrong_password")
        async with services.database.transaction() as tx:
            await record(tx, "user.password_change_refused", origin, outcome="access_denied", user_id=user.id)
        raise _NotChanged("The present password is not right. Nothing was changed.", 401)
    await services.limits.forget_tries(user.username, origin.source, person.id)
    return found
