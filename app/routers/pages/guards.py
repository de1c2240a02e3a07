"""Who may see the pages where someone works, and whose forms they take.

A page for people asks for `PersonDep`; a page of the operator for `ViewerDep` (admins and auditors) and each of its
changes for `OperatorDep` (admins). All of them read the form's own token, which is bound to the session and to the
address that the form posts to: a form of one page works on no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import RedirectResponse, Response

from app.accounts.sign_in import SignedIn
from app.audit import Origin
from app.oauth.errors import AccessDenied
from app.oauth.parameters import Parameters
from app.routers.browser import BrowserDep, forged, signed_in
from app.routers.dependencies import OriginDep, ServicesDep, TransactionDep
from app.routers.errors import PageError
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.next_step import as_page
from app.routers.services import Services


class SignInFirst(Exception):
    """Nobody is signed in; afterwards this page is to come, if it is one that an address leads to."""

    def __init__(self, page: str | None) -> None:
        super().__init__(page)
        self.page = page


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, on the page with this address, for which the request's transaction is open.

    `origin` names the person as the actor of what an operator does.
    """

    signed_in: SignedIn
    services: Services
    origin: Origin
    path: str

    @property
    def id(self) -> str:
        """The user's id."""
        return self.signed_in.user.id

    @property
    def is_admin(self) -> bool:
        """Whether this person operates the server."""
        return self.signed_in.user.is_admin

    def form_token(self, path: str) -> str:
        """The token of a form that posts to one of our paths (spelled without the prefix)."""
        return self.services.keys.form_token("form", self.signed_in.session_hash, path)

    def check_form(self, form: Parameters) -> None:
        """See that a form was made by this server for this session and address.

        Raises:
            PageError: 403.
        """
        token = field_of(form, "csrf_token")
        if not self.services.keys.form_token_matches(token, "form", self.signed_in.session_hash, self.path):
            raise forged()

    def context(self, here: str) -> Mapping[str, Any]:
        """What every page where someone works shows: who is here, in which part, and the tokens of its forms."""
        user = self.signed_in.user
        return {
            "me": {
                "id": user.id,
                "name": user.name,
                "username": user.username,
                "is_admin": user.is_admin,
                "is_auditor": user.is_auditor,
            },
            "here": here,
            "form_token": self.form_token,
            "logout_csrf": self.services.keys.form_token("logout", self.signed_in.session_hash),
        }


async def get_person(
    request: Request, tx: TransactionDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Person:
    """Who is signed in.

    Raises:
        SignInFirst: nobody is.
    """
    current = await signed_in(tx, services, browser, origin)
    if current is None:
        query = f"?{request.url.query}" if request.url.query else ""
        raise SignInFirst(as_page(request.url.path + query) if request.method in {"GET", "HEAD"} else None)
    return Person(current, services, origin, request.url.path)


PersonDep = Annotated[Person, Depends(get_person)]


def get_viewer(person: PersonDep) -> Person:
    """Who is signed in, if they may look at the operator's pages.

    Raises:
        PageError: 403.
    """
    user = person.signed_in.user
    if not (user.is_admin or user.is_auditor):
        raise _not_yours()
    return person


ViewerDep = Annotated[Person, Depends(get_viewer)]


def get_operator(person: PersonDep, form: PageFormDep) -> Person:
    """Who is signed in and changes something as an operator, by a form of ours.

    Raises:
        PageError: 403.
    """
    if not person.is_admin:
        raise _not_yours()
    person.check_form(form)
    origin = Origin(person.origin.now, person.origin.source, person.id)
    return Person(person.signed_in, person.services, origin, person.path)


OperatorDep = Annotated[Person, Depends(get_operator)]


def get_writer(person: PersonDep, form: PageFormDep) -> Person:
    """Who is signed in and changes something of their own, by a form of ours.

    Raises:
        PageError: 403.
    """
    person.check_form(form)
    return person


WriterDep = Annotated[Person, Depends(get_writer)]


async def _sign_in_first(request: Request, error: SignInFirst) -> Response:
    services: Services = request.app.state.services
    query = f"?next={error.page}" if error.page else ""
    return RedirectResponse(services.address.path("/login") + query, 303, {"Cache-Control": "no-store"})


def install_sign_in_first(app: FastAPI) -> None:
    """Send whoever is not signed in to the sign-in page, and back afterwards."""
    app.exception_handler(SignInFirst)(_sign_in_first)


def _not_yours() -> PageError:
    return PageError(
        "This page is not for you",
        "Only people who run this server may see this page, or may do this.",
        status=403,
        who="Someone who runs this server: they can give you the right.",
        advice="Go back, or sign in as someone who runs this server.",
        cause=AccessDenied("Only operators may do this.", reason="not_an_operator"),
    )
