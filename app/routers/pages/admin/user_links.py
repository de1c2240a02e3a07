"""Links that an operator hands out: an invitation, or a way back in for someone who forgot the password."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts import links, people
from app.accounts.links import Issued, Purpose
from app.accounts.records import User
from app.database import Transaction
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import refused
from app.routers.pages.admin.link_pages import link_page, send_page
from app.routers.pages.admin.user import find_user, id_of
from app.routers.pages.admin.users import ONE
from app.routers.pages.forms import PageFormDep
from app.routers.pages.guards import OperatorDep, Person, check_recent

router = APIRouter()


@router.post("/users/link")
async def make(http: Request, tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """A link for someone to choose a password, shown once. Whoever was never here is invited."""
    user = await find_user(tx, id_of(form))
    purpose, issued = await _issue(tx, person, user)
    return link_page(http, person, user, purpose, issued)


@router.post("/users/send-link")
async def send(http: Request, tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """The same, sent to the address that is known."""
    user = await find_user(tx, id_of(form))
    dispatch = person.services.dispatch
    if dispatch is None or user.email is None:
        raise refused("No e-mail can be sent: a mail server, or the person’s address, is missing.", "no_mail")
    purpose, issued = await _issue(tx, person, user, user.email)
    return send_page(http, person, dispatch, user, user.email, purpose, issued)


async def _issue(
    tx: Transaction, person: Person, user: User, email: str | None = None
) -> tuple[Purpose, Issued]:
    """Make the link that someone needs.

    Raises:
        PageError: it is the operator's own account, or one that is disabled.
        SignInFirst: it is another operator's, as whom the link lets its holder in, and the sign-in is not recent.
    """
    if user.id == person.id:
        raise refused("You change your own password under “How you sign in”.", "own_account")
    if user.is_admin or user.is_auditor:
        await check_recent(tx, person, f"{ONE}?id={user.id}")
    purpose = links.needed_by(user)
    try:
        return purpose, await links.issue(tx, person.services.keys, user, purpose, person.origin, email=email)
    except people.Refused as error:
        raise refused(str(error), "user_disabled") from None
