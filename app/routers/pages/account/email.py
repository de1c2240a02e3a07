"""One's own e-mail address: given here, and taken into use when a letter to it was read."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import links, people
from app.accounts.letters import Letters
from app.accounts.links import Purpose
from app.audit import record
from app.dispatch import Dispatch
from app.mail import Letter, NotSent
from app.routers.dependencies import TransactionDep
from app.routers.metrics import count_refusal
from app.routers.pages.account.security import PATH, security_page
from app.routers.pages.after_commit import AfterCommit
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import FreshWriterDep, Person
from app.routers.pages.link import link_url

router = APIRouter()
_RETRY_AFTER = 3600


@router.post("/security/email")
async def change(http: Request, tx: TransactionDep, person: FreshWriterDep, form: PageFormDep) -> Response:
    """Write to the new address, and tell the old one. Nothing changes before the link is used."""
    services, user, email = person.services, person.signed_in.user, field_of(form, "email").strip()
    dispatch = services.dispatch
    if dispatch is None:
        return await security_page(http, tx, person, error="This server sends no e-mail.", status=409)
    if email == user.email and user.email_verified_at is not None:
        return _back(person, "address-known")
    try:
        people.check_email(email)
    except people.Refused as error:
        return await security_page(http, tx, person, error=f"{error} Nothing was changed.", status=422)
    if not await services.limits.may_write_to(user.id):
        count_refusal(f"{PATH}/email", "too_many_letters")
        await record(
            tx,
            "user.email_refused",
            person.origin,
            outcome="access_denied",
            reason="too_many_letters",
            user_id=user.id,
        )
        sentence = "Too many e-mails were asked for. Wait an hour, then try again."
        page = await security_page(http, tx, person, error=sentence, status=429)
        page.headers["Retry-After"] = str(_RETRY_AFTER)
        return page
    issued = await links.issue(tx, services.keys, user, Purpose.EMAIL, person.origin, email=email)
    letters = Letters(services.policy.issuer)
    outgoing = [letters.confirmation(user, email, link_url(services, issued))]
    if user.email is not None and user.email != email:
        outgoing.insert(0, letters.address_notice(user, user.email))
    return AfterCommit(lambda: _send(person, dispatch, outgoing))


async def _send(person: Person, dispatch: Dispatch, outgoing: list[Letter]) -> Response:
    """The last letter is the one that is waited for; what becomes of a notice before it is on record."""
    sent = False
    for letter in outgoing:
        try:
            await dispatch.deliver(letter, person.id, person.origin)
            sent = True
        except NotSent:
            sent = False
    return _back(person, "letter-sent" if sent else "letter-not-sent")


def _back(person: Person, done: str) -> Response:
    address = person.services.address.path(f"{PATH}?done={done}")
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})
