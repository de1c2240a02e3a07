"""What an operator sees after making a link for someone: the link itself, once, or that it was sent."""

from fastapi import Request
from starlette.responses import Response

from app.accounts.letters import Letters
from app.accounts.links import Issued, Purpose
from app.accounts.records import User
from app.dispatch import Dispatch
from app.mail import NotSent
from app.routers.pages.admin.answers import page_context
from app.routers.pages.after_commit import AfterCommit
from app.routers.pages.guards import Person
from app.routers.pages.link import link_url
from app.routers.pages.render import render_page

_ONE = "/admin/users/user"


def link_page(http: Request, person: Person, user: User, purpose: Purpose, issued: Issued) -> Response:
    """A new link, shown this once."""
    context = {
        **page_context(person, "users"),
        "user": user,
        "invited": purpose is Purpose.INVITATION,
        "link": link_url(person.services, issued),
        "until": issued.expires_at,
        "one": person.services.address.path(_ONE),
    }
    return render_page(http, "admin_user_link.html", context, script=True)


def send_page(
    http: Request,
    person: Person,
    dispatch: Dispatch,
    user: User,
    address: str,
    purpose: Purpose,
    issued: Issued,
) -> Response:
    """Send a new link to its owner, and tell whether that worked; nobody else sees it."""
    link = link_url(person.services, issued)
    letter = Letters(person.services.policy.issuer).with_link(purpose, user, address, link)

    async def send() -> Response:
        problem = None
        try:
            await dispatch.deliver(letter, user.id, person.origin)
        except NotSent as error:
            problem = str(error)
        context = {
            **page_context(person, "users"),
            "user": user,
            "address": address,
            "invited": purpose is Purpose.INVITATION,
            "problem": problem,
            "until": issued.expires_at,
            "one": person.services.address.path(_ONE),
        }
        return render_page(http, "admin_user_sent.html", context, status=502 if problem else 200)

    return AfterCommit(send)
