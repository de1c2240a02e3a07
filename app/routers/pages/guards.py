"""Who may see the pages where someone works, and whose forms they take.

A page for people asks for `PersonDep`; a page of the operator for `ViewerDep` (admins and auditors) and each of its
changes for `OperatorDep` (admins). All of them read the form's own token, which is bound to the session and to the
address that the form posts to: a form of one page works on no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request
from starlette.responses import RedirectResponse, Response

from app.accounts.second_factor import MULTIPLE, is_awaited
from app.accounts.sign_in import SignedIn
from app.audit import Origin
from app.database import Transaction
from app.oauth.errors import AccessDenied
from app.oauth.parameters import Parameters
from app.routers.browser import Browser, BrowserDep, forged, is_complete, me_of, signed_in
from app.routers.dependencies import OriginDep, ServicesDep, TransactionDep
from app.routers.errors import PageError
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.next_step import RECENT, as_page
from app.routers.services import Services


class SignInFirst(Exception):
    """Nobody is signed in, or (`fresh`) not lately enough, or (`anew`) not as they would be today; afterwards this page
    is to come, if it is one that an address leads to.
    """

    def __init__(self, page: str | None, *, fresh: bool = False, anew: bool = False) -> None:
        super().__init__(page)
        self.page = page
        self.fresh = fresh
        self.anew = anew


class SecondFactorFirst(Exception):
    """A second factor is demanded and was not shown; afterwards this page is to come."""

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
    # Where a sign-in in between leads back to; None where that is no page, as after a form.
    page: str | None = None

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
        return {
            "me": me_of(self.signed_in),
            "here": here,
            "form_token": self.form_token,
            "logout_csrf": self.services.keys.form_token("logout", self.signed_in.session_hash),
        }


async def find_person(
    request: Request, tx: Transaction, services: Services, browser: Browser, origin: Origin
) -> Person:
    """Who is signed in, with or without a second factor that is demanded.

    Raises:
        SignInFirst: nobody is.
    """
    current = await signed_in(tx, services, browser, origin, anyhow=True)
    query = f"?{request.url.query}" if request.url.query else ""
    page = as_page(request.url.path + query) if request.method in {"GET", "HEAD"} else None
    if current is None:
        raise SignInFirst(page)
    return Person(current, services, origin, request.url.path, page)


async def get_any_person(
    request: Request, tx: TransactionDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Person:
    """See `find_person`: for pages that lead to a second factor."""
    return await find_person(request, tx, services, browser, origin)


AnyPersonDep = Annotated[Person, Depends(get_any_person)]


def get_person(person: AnyPersonDep) -> Person:
    """Who is signed in.

    Raises:
        SecondFactorFirst: everyone has to show a second factor, and this person did not.
    """
    if not is_complete(person.services, person.signed_in):
        raise SecondFactorFirst(person.page)
    return person


PersonDep = Annotated[Person, Depends(get_person)]


async def get_fresh_person(tx: TransactionDep, person: AnyPersonDep) -> Person:
    """Who signed in a short while ago, and with the second factor that they have: for pages about how they sign in.

    Raises:
        SignInFirst: it was longer ago, or before there was a second factor.
    """
    await check_recent(tx, person, person.page or "/account/security")
    return person


async def check_recent(tx: Transaction, person: Person, page: str) -> None:
    """See that the sign-in is recent, and with the second factor that the person has; afterwards `page` is to come.

    Raises:
        SignInFirst: it was longer ago, or before there was a second factor.
    """
    if await is_awaited(tx, person.id, person.signed_in.methods):
        # The sign-in may be recent, but is from before there was a second factor: another one asks for it.
        raise SignInFirst(page, anew=True)
    if person.origin.now > person.signed_in.since + RECENT:
        raise SignInFirst(page, fresh=True)


FreshPersonDep = Annotated[Person, Depends(get_fresh_person)]


def get_fresh_writer(person: FreshPersonDep, form: PageFormDep) -> Person:
    """Who signed in a short while ago and changes how they sign in, by a form of ours.

    Raises:
        PageError: 403.
    """
    person.check_form(form)
    return person


FreshWriterDep = Annotated[Person, Depends(get_fresh_writer)]


def get_viewer(person: PersonDep) -> Person:
    """Who is signed in, if they may look at the operator's pages.

    Raises:
        PageError: 403.
        SecondFactorFirst: operators have to show a second factor, and this one did not.
    """
    user = person.signed_in.user
    if not (user.is_admin or user.is_auditor):
        raise _not_yours()
    _check_second_factor(person)
    return person


ViewerDep = Annotated[Person, Depends(get_viewer)]


def get_operator(person: PersonDep, form: PageFormDep) -> Person:
    """Who is signed in and changes something as an operator, by a form of ours.

    Raises:
        PageError: 403.
    """
    if not person.is_admin:
        raise _not_yours()
    _check_second_factor(person)
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
    how = "&fresh=true" if error.fresh else "&switch=true" if error.anew else ""
    query = f"?next={_quoted(error.page)}{how}" if error.page else ""
    return _redirect(request, "/login" + query)


async def _second_factor_first(request: Request, error: SecondFactorFirst) -> Response:
    return _redirect(
        request, "/account/security/start" + (f"?next={_quoted(error.page)}" if error.page else "")
    )


def _redirect(request: Request, path: str) -> Response:
    services: Services = request.app.state.services
    return RedirectResponse(services.address.path(path), 303, {"Cache-Control": "no-store"})


def _quoted(page: str) -> str:
    return quote(page, safe="/?=")


def _check_second_factor(person: Person) -> None:
    current = person.signed_in
    if person.services.second_factor.is_demanded_of(current.user) and MULTIPLE not in current.methods:
        raise SecondFactorFirst(person.page)


def install_sign_in_first(app: FastAPI) -> None:
    """Send whoever is not signed in to the sign-in page, whoever lacks a second factor to set one up, and back
    afterwards.
    """
    app.exception_handler(SignInFirst)(_sign_in_first)
    app.exception_handler(SecondFactorFirst)(_second_factor_first)


def _not_yours() -> PageError:
    return PageError(
        "This page is not for you",
        "Only people who run this server may see this page, or may do this.",
        status=403,
        who="Someone who runs this server: they can give you the right.",
        advice="Go back, or sign in as someone who runs this server.",
        cause=AccessDenied("Only operators may do this.", reason="not_an_operator"),
    )
