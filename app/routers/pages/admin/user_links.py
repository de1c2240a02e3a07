"""Links that an operator hands out: an invitation, or a way back in for someone who forgot the password."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts import links, people
from app.accounts.links import Purpose
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import refused
from app.routers.pages.admin.user import find_user, id_of
from app.routers.pages.admin.users import link_page
from app.routers.pages.forms import PageFormDep
from app.routers.pages.guards import OperatorDep

router = APIRouter()


@router.post("/users/link")
async def make(http: Request, tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """A link for someone to choose a password, shown once. Whoever has none yet is invited."""
    user = await find_user(tx, id_of(form))
    if user.id == person.id:
        raise refused("You change your own password under “How you sign in”.", "own_account")
    purpose = Purpose.PASSWORD_RESET if user.password_hash else Purpose.INVITATION
    try:
        issued = await links.issue(tx, person.services.keys, user, purpose, person.origin)
    except people.Refused as error:
        raise refused(str(error), "user_disabled") from None
    return link_page(http, person, user, purpose, issued)
