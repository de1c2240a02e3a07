"""Someone's passkeys: make one, name it, remove it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from app.accounts import factor_store, passkeys, second_factor
from app.accounts.passkeys import Ceremony, Purpose
from app.accounts.second_factor import Needed
from app.audit import record
from app.database import Transaction
from app.routers.browser import Browser, BrowserDep
from app.routers.dependencies import TransactionDep
from app.routers.pages.account.security import HERE, PATH, added, security_page, shown
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import FreshPersonDep, FreshWriterDep, Person
from app.routers.pages.next_step import PARAMETERS, NextStep, find_next_step
from app.routers.pages.onward import OnwardDep
from app.routers.pages.passkey_forms import passkey_creation, relying_party
from app.routers.pages.render import render_page

router = APIRouter(prefix="/security/passkeys")
_NEW = f"{PATH}/passkeys/new"
_REFUSED = "That did not work: the browser’s answer was not right, or too late. Try again."
_KNOWN = "That passkey is known here already."
_ENOUGH = f"You have {passkeys.MOST} passkeys already. Remove one first."


@router.get("/new")
async def show_new(
    http: Request, tx: TransactionDep, person: FreshPersonDep, browser: BrowserDep, onward: OnwardDep
) -> Response:
    """Ask the browser for a passkey."""
    return await _new_page(http, tx, person, browser, onward)


@router.post("/new")
async def add(
    http: Request, tx: TransactionDep, person: FreshWriterDep, browser: BrowserDep, form: PageFormDep
) -> Response:
    """Keep the passkey that the browser made."""
    services = person.services
    onward = await find_next_step(tx, services, browser, {name: field_of(form, name) for name in PARAMETERS})
    party = relying_party(services)
    ceremony = Ceremony(Purpose.REGISTER, browser.id, person.id)
    if len(await factor_store.list_passkeys(tx, person.id)) >= passkeys.MOST:
        return await _new_page(http, tx, person, browser, onward, _ENOUGH)
    try:
        if party is None:
            raise passkeys.Refused("malformed", person.id)
        passkey = await passkeys.register(
            tx,
            services.keys,
            party,
            ceremony,
            field_of(form, "credential"),
            field_of(form, "name"),
            person.origin,
        )
    except passkeys.Refused as error:
        services.reporter.count(_NEW, error.reason)
        await record(
            tx,
            "passkey.refused",
            person.origin,
            outcome="access_denied",
            reason=error.reason,
            user_id=person.id,
        )
        words = _KNOWN if error.reason == "known_passkey" else _REFUSED
        return await _new_page(http, tx, person, browser, onward, words)
    return await added(http, tx, person, onward, passkeys.method_of(passkey), "passkey-added")


@router.get("/change")
async def show_change(
    http: Request,
    tx: TransactionDep,
    person: FreshPersonDep,
    credential_id: Annotated[str, Query(alias="passkey", max_length=1500)] = "",
) -> Response:
    """One passkey of theirs, to be named or removed."""
    own = await factor_store.list_passkeys(tx, person.id)
    passkey = next((passkey for passkey in own if passkey.credential_id == credential_id), None)
    if passkey is None:
        raise HTTPException(404)
    context = {
        **person.context(HERE),
        "passkey": shown(passkey, person),
        "path": PATH,
        "rename_path": f"{PATH}/passkeys/rename",
        "remove_path": f"{PATH}/passkeys/remove",
        "longest_name": passkeys.LONGEST_NAME,
    }
    return render_page(http, "account_passkey_change.html", context)


@router.post("/rename")
async def rename(http: Request, tx: TransactionDep, person: FreshWriterDep, form: PageFormDep) -> Response:
    """Call a passkey otherwise."""
    if not await passkeys.rename(
        tx, person.id, field_of(form, "passkey"), field_of(form, "name"), person.origin
    ):
        words = "The passkey kept its name: it needs one that can be read."
        return await security_page(http, tx, person, error=words, status=400)
    return _done(person, "passkey-renamed")


@router.post("/remove")
async def remove(http: Request, tx: TransactionDep, person: FreshWriterDep, form: PageFormDep) -> Response:
    """Forget a passkey."""
    user, demanded = person.signed_in.user, person.services.second_factor
    try:
        await second_factor.remove_passkey(tx, user, field_of(form, "passkey"), demanded, person.origin)
    except Needed as error:
        return await security_page(http, tx, person, error=str(error), status=400)
    return _done(person, "passkey-removed")


def _done(person: Person, done: str) -> Response:
    address = person.services.address.path(f"{PATH}?done={done}")
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


async def _new_page(
    http: Request,
    tx: Transaction,
    person: Person,
    browser: Browser,
    onward: NextStep,
    error: str | None = None,
) -> Response:
    services, user = person.services, person.signed_in.user
    factors = await second_factor.factors_of(tx, person.id)
    ceremony = Ceremony(Purpose.REGISTER, browser.id, person.id)
    context = {
        **person.context(HERE),
        "path": _NEW,
        "fields": onward.fields,
        "options": passkey_creation(services, ceremony, user, factors.passkeys, person.origin.now),
        "longest_name": passkeys.LONGEST_NAME,
        "first": not factors.count,
        "security_path": PATH,
        "error": error,
    }
    return render_page(http, "account_passkey.html", context, status=400 if error else 200, script=True)
