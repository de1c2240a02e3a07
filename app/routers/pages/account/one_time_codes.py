"""Someone's app for one-time codes: set one up, or another in its place, or none."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import one_time_codes, second_factor
from app.accounts.one_time_codes import SetUp
from app.accounts.second_factor import Needed
from app.database import Transaction
from app.oauth.uris import host_of
from app.routers.browser import BrowserDep
from app.routers.dependencies import TransactionDep
from app.routers.pages import qr_code
from app.routers.pages.account.security import HERE, PATH, added, security_page
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import FreshPersonDep, FreshWriterDep, Person
from app.routers.pages.next_step import PARAMETERS, NextStep, find_next_step
from app.routers.pages.onward import OnwardDep
from app.routers.pages.render import render_page

router = APIRouter(prefix="/security/codes")
_PATH = f"{PATH}/codes"


@router.get("")
async def show(http: Request, tx: TransactionDep, person: FreshPersonDep, onward: OnwardDep) -> Response:
    """A new secret for an app; nothing is kept before it shows a right code."""
    return await _page(http, tx, person, onward, _begin(person))


@router.post("")
async def confirm(
    http: Request, tx: TransactionDep, person: FreshWriterDep, browser: BrowserDep, form: PageFormDep
) -> Response:
    """Take the app into use."""
    services, user = person.services, person.signed_in.user
    onward = await find_next_step(tx, services, browser, {name: field_of(form, name) for name in PARAMETERS})
    sealed = field_of(form, "set_up")
    try:
        await one_time_codes.confirm(tx, services.keys, user, sealed, field_of(form, "code"), person.origin)
    except one_time_codes.Refused as error:
        services.reporter.count(_PATH, "wrong_code")
        return await _page(http, tx, person, onward, _resume(person, sealed), str(error))
    return await added(http, tx, person, onward, "otp", "app-added")


@router.post("/remove")
async def remove(http: Request, tx: TransactionDep, person: FreshWriterDep) -> Response:
    """Forget the app."""
    try:
        await second_factor.remove_authenticator(
            tx, person.signed_in.user, person.services.second_factor, person.origin
        )
    except Needed as error:
        return await security_page(http, tx, person, error=str(error), status=400)
    address = person.services.address.path(f"{PATH}?done=app-removed")
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def _begin(person: Person) -> SetUp:
    return one_time_codes.begin(person.services.keys, person.signed_in.user, _issuer(person), person.origin)


def _resume(person: Person, sealed: str) -> SetUp:
    """The picture that the person has scanned already; a new one where that is too old."""
    keys, user = person.services.keys, person.signed_in.user
    try:
        return one_time_codes.resume(keys, user, _issuer(person), sealed, person.origin)
    except one_time_codes.Refused:
        return _begin(person)


def _issuer(person: Person) -> str:
    """What apps call this server: a colon would end the name."""
    return host_of(person.services.address.origin).replace(":", " ")


async def _page(
    http: Request,
    tx: Transaction,
    person: Person,
    onward: NextStep,
    set_up: SetUp,
    error: str | None = None,
) -> Response:
    secret = set_up.secret
    factors = await second_factor.factors_of(tx, person.id)
    context = {
        **person.context(HERE),
        "path": _PATH,
        "security_path": PATH,
        "fields": onward.fields,
        "set_up": set_up.sealed,
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "qr": qr_code.draw(set_up.address),
        "replaces": factors.authenticator is not None,
        "first": not factors.count,
        "error": error,
    }
    return render_page(http, "account_codes.html", context, status=400 if error else 200, script=True)
