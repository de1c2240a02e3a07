"""Accounts elsewhere with which somebody signs in here: connect one, or disconnect it."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import factor_store, upstream, user_search
from app.routers.browser import BrowserDep
from app.routers.dependencies import TransactionDep
from app.routers.pages.account.security import PATH, security_page
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import FreshWriterDep
from app.routers.pages.upstream_sign_in import ReachedDep, send_there

router = APIRouter(prefix="/security")


@router.post("/upstream/{provider}")
async def link(
    reached: ReachedDep, tx: TransactionDep, person: FreshWriterDep, browser: BrowserDep
) -> Response:
    """Send the browser to the provider, to come back with an identity for this account."""
    services, provider = person.services, reached()
    ticket = await upstream.begin(
        tx, services.keys, browser.id, provider.id, "", person.origin, user_id=person.id
    )
    return send_there(services, provider, ticket, fresh=False)


@router.post("/unlink")
async def unlink(http: Request, tx: TransactionDep, person: FreshWriterDep, form: PageFormDep) -> Response:
    """Forget an identity."""
    issuer, subject = field_of(form, "issuer"), field_of(form, "subject")
    usable = {provider.issuer for provider in person.services.providers.values()}
    others = [
        one
        for one in await user_search.list_identities(tx, person.id)
        if one.issuer in usable and (one.issuer, one.subject) != (issuer, subject)
    ]
    passkeys = await factor_store.list_passkeys(tx, person.id)
    try:
        await upstream.unlink(
            tx, person.signed_in.user, issuer, subject, len(passkeys), len(others), person.origin
        )
    except upstream.OnlyWayIn:
        words = "You have no password, so this account is your only way in. Add a passkey first."
        return await security_page(http, tx, person, error=words, status=400)
    address = person.services.address.path(f"{PATH}?done=unlinked")
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})
