"""How someone signs in: the password, passkeys, one-time codes, recovery codes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import recovery_codes, second_factor, store
from app.accounts.passwords import MINIMUM_LENGTH
from app.accounts.records import Passkey
from app.accounts.second_factor import MULTIPLE
from app.accounts.sign_in import is_alive, renew_session
from app.accounts.user_search import list_identities
from app.database import Transaction
from app.oauth.uris import host_of
from app.routers.browser import set_session
from app.routers.dependencies import TransactionDep
from app.routers.errors import PageError
from app.routers.pages.guards import AnyPersonDep, FreshWriterDep, Person, SignInFirst
from app.routers.pages.lists import Column
from app.routers.pages.next_step import NextStep
from app.routers.pages.onward import OnwardDep
from app.routers.pages.passkey_forms import relying_party
from app.routers.pages.render import render_page
from app.routers.pages.words import moment

router = APIRouter()
HERE = "security"
PATH = "/account/security"
_CODES_PATH = f"{PATH}/recovery-codes"
# What the page says after a change; the address names it.
_DONE = {
    "password-changed": "Your password was changed.",
    "address-known": "This address is confirmed already.",
    "letter-sent": "An e-mail is on its way. Follow the link in it, within 24 hours, to confirm the address.",
    "passkey-added": "The passkey was added. From now on your password alone does not sign you in.",
    "passkey-renamed": "The passkey has its new name.",
    "passkey-removed": "The passkey was removed. Delete it on your device too.",
    "app-added": "The app was set up. From now on your password alone does not sign you in.",
    "app-removed": "The app was removed. Its codes are good for nothing any more.",
    "linked": "The account is connected. You can sign in with it from now on.",
    "unlinked": "The account is disconnected. It signs you in no more.",
}
# What it says of a change that did not work out after all.
_NOT_DONE = {
    "letter-not-sent": "No e-mail could be sent to this address. Look at it again, or try later.",
    "identity-taken": "That account is connected to somebody else here.",
    "not-linked": "The account was not connected. Try again.",
}


@router.get("/security")
async def show(
    http: Request,
    tx: TransactionDep,
    person: AnyPersonDep,
    done: Annotated[str, Query(max_length=30)] = "",
) -> Response:
    """All the ways in which this person signs in."""
    return await security_page(http, tx, person, done=_DONE.get(done), error=_NOT_DONE.get(done))


@router.get("/security/start")
async def start(http: Request, tx: TransactionDep, person: AnyPersonDep, onward: OnwardDep) -> Response:
    """Where someone is led who must have a second factor: to set one up, or to sign in with the one that they have."""
    services, current = person.services, person.signed_in
    if MULTIPLE in current.methods or not services.second_factor.is_demanded_of(current.user):
        return go_on(person, onward)
    if (await second_factor.factors_of(tx, person.id)).count:
        return _redirect(person, f"/login?switch=true&{onward.query}")
    context = {
        "query": onward.query,
        "passkeys_path": f"{PATH}/passkeys/new",
        "codes_path": f"{PATH}/codes",
        "can_have_passkeys": relying_party(services) is not None,
        "user": {"username": current.user.username, "name": current.user.name},
        "everyone": services.second_factor is second_factor.SecondFactor.EVERYONE,
    }
    return render_page(http, "second_factor_start.html", context)


@router.post("/security/recovery-codes")
async def make_recovery_codes(http: Request, tx: TransactionDep, person: FreshWriterDep) -> Response:
    """New recovery codes in place of the old ones, shown once."""
    if not (await second_factor.factors_of(tx, person.id)).count:
        raise PageError(
            "There is nothing to recover",
            "Recovery codes stand in for a passkey or an app for codes, and you have neither.",
            who="You can, by setting one of them up first.",
            advice="Go back to the page about how you sign in.",
        )
    return await show_new_recovery_codes(http, tx, person, NextStep())


async def show_new_recovery_codes(
    http: Request, tx: Transaction, person: Person, onward: NextStep, signed_out: int = 0
) -> Response:
    """Make recovery codes, and show them this once; and in how many other browsers the person was signed out."""
    codes = await recovery_codes.make(tx, person.services.keys, person.id, person.origin)
    context = {
        **person.context(HERE),
        "codes": codes,
        "signed_out": signed_out,
        "onward_url": person.services.address.path(_onward_path(onward)),
        "goes_on": onward != NextStep(),
    }
    return render_page(http, "account_recovery_codes.html", context, script=True)


async def added(
    http: Request, tx: Transaction, person: Person, onward: NextStep, method: str, done: str
) -> Response:
    """After a second factor was added and shown: this session has both from now on, under a new id, and those with one
    alone end.

    Raises:
        SignInFirst: this session was ended meanwhile.
    """
    services, current = person.services, person.signed_in
    methods = tuple(dict.fromkeys([*current.methods, method, MULTIPLE]))
    renewed = await renew_session(tx, services.keys, current, methods)
    if renewed is None:
        raise SignInFirst(PATH)
    session_id, current = renewed
    person = replace(person, signed_in=current)
    signed_out = await second_factor.end_lesser_sessions(tx, current, person.origin)
    if (await second_factor.factors_of(tx, person.id)).recovery_codes_left:
        response = go_on(person, onward, done)
    else:
        response = await show_new_recovery_codes(http, tx, person, onward, signed_out)
    set_session(response, services, session_id)
    return response


def go_on(person: Person, onward: NextStep, done: str | None = None) -> Response:
    """On to what waits, or back to the page about how one signs in."""
    path = _onward_path(onward)
    return _redirect(person, f"{path}?done={done}" if done and path == PATH else path)


async def security_page(
    http: Request,
    tx: Transaction,
    person: Person,
    *,
    done: str | None = None,
    error: str | None = None,
    status: int = 200,
) -> Response:
    """The page, with what was done or why it was not."""
    services, now = person.services, person.origin.now
    factors = await second_factor.factors_of(tx, person.id)
    sessions = [entry for entry in await store.list_sessions(tx, person.id) if is_alive(entry, now)]
    context = {
        **person.context(HERE),
        "done": done,
        "error": error,
        "shortest_password": MINIMUM_LENGTH,
        "has_password": person.signed_in.user.password_hash is not None,
        "email": person.signed_in.user.email,
        "email_verified": person.signed_in.user.email_verified_at is not None,
        "sends_letters": services.dispatch is not None,
        "can_have_passkeys": relying_party(services) is not None,
        "columns": [Column(label) for label in ("Name", "Kept", "Added", "Last used", "Change")],
        "passkeys": [shown(passkey, person) for passkey in factors.passkeys],
        "app": factors.authenticator
        and {
            "added": moment(now, factors.authenticator.created_at),
            "used": moment(now, factors.authenticator.last_used_at),
        },
        "has_second_factor": factors.count > 0,
        "recovery_codes_left": factors.recovery_codes_left,
        "recovery_codes": recovery_codes.HOW_MANY,
        "elsewhere": len(sessions) - 1,
        "path": PATH,
        "recovery_codes_path": _CODES_PATH,
        "others_path": "/account/sessions/end-others",
        "identities": await _identities(tx, person),
        "identity_columns": [Column(label) for label in ("With", "Connected", "Last used", "Disconnect")],
        "providers": list(services.providers.values()),
        "link_path": f"{PATH}/upstream",
        "unlink_path": f"{PATH}/unlink",
    }
    # Connecting an account leads to its provider.
    away = bool(services.providers)
    return render_page(
        http, "account_security.html", context, status=status, script=True, forms_lead_away=away
    )


async def _identities(tx: Transaction, person: Person) -> Sequence[Mapping[str, Any]]:
    """Who this person is elsewhere."""
    now = person.origin.now
    labels = {provider.issuer: provider.label for provider in person.services.providers.values()}
    return [
        {
            "issuer": identity.issuer,
            "subject": identity.subject,
            "label": labels.get(identity.issuer, host_of(identity.issuer) or identity.issuer),
            "added": moment(now, identity.created_at),
            "used": moment(now, identity.last_used_at),
        }
        for identity in await list_identities(tx, person.id)
    ]


def shown(passkey: Passkey, person: Person) -> dict[str, Any]:
    """A passkey as pages show it."""
    now = person.origin.now
    return {
        "id": passkey.credential_id,
        "url": person.services.address.path(f"{PATH}/passkeys/change?passkey={passkey.credential_id}"),
        "name": passkey.name,
        "kept": "on several devices" if passkey.is_backed_up else "on one device",
        "added": moment(now, passkey.created_at),
        "used": moment(now, passkey.last_used_at),
    }


def _onward_path(onward: NextStep) -> str:
    return PATH if onward == NextStep() else onward.path


def _redirect(person: Person, path: str) -> Response:
    return RedirectResponse(person.services.address.path(path), 303, {"Cache-Control": "no-store"})
