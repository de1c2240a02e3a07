"""Signing in and out."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import store
from app.accounts.sign_in import SignedIn, authenticate, renew_hash, sign_out, start_session, still_stands
from app.audit import record
from app.authorization_server import store as requests
from app.authorization_server.authentication import Demand, demand_of
from app.authorization_server.device_authorization import format_user_code, read_user_code
from app.authorization_server.records import AuthorizationRequest, Client
from app.database import Transaction
from app.oauth.errors import OAuthError
from app.oauth.features import Feature
from app.oauth.parameters import Parameters
from app.routers.browser import (
    Browser,
    BrowserDep,
    check_same_origin,
    clear_session,
    forged,
    remember_browser,
    set_session,
    sign_in_of,
    signed_in,
)
from app.routers.dependencies import OriginDep, ServicesDep, read_form
from app.routers.metrics import count_refusal
from app.routers.pages.render import render_page
from app.routers.services import Services

router = APIRouter(tags=["pages"])
_REFUSED = "The name or the password is not right."
_SLOW_DOWN = "Too many tries. Wait a few minutes, then try again."
_RETRY_AFTER = 300


async def read_page_form(request: Request, services: ServicesDep) -> Parameters:
    """A form of one of our own pages.

    Raises:
        PageError: another site sent it, or it can't be read.
    """
    check_same_origin(request, services)
    try:
        return await read_form(request)
    except OAuthError:
        raise forged() from None


PageFormDep = Annotated[Parameters, Depends(read_page_form)]


@router.get("/login")
async def show_sign_in(
    http: Request,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    request: Annotated[str, Query(max_length=100)] = "",
    device: Annotated[str, Query(max_length=100)] = "",
    switch: bool = False,
) -> Response:
    """The sign-in page. Someone who is signed in goes on at once, unless they want to be someone else, or the app
    demands a new sign-in or another person.
    """
    async with services.database.transaction() as tx:
        current = await signed_in(tx, services, browser, origin)
        waiting = await _find_waiting(tx, services, browser, request)
    hint = (waiting.request.login_hint if waiting else None) or ""
    view = SignInView(waiting, hint, current, _device_next(services, device))
    if view.may_go_on and not switch:
        onward = services.address.path(view.onward)
        return RedirectResponse(onward, 303, {"Cache-Control": "no-store"})
    if view.asked_again and current is not None:
        view = replace(view, username=view.username or current.user.username)
    return _page(http, services, browser, view)


@router.post("/login")
async def sign_in(
    http: Request, form: PageFormDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Check name and password; the session id is always a new one."""
    if browser.is_new or not services.keys.form_token_matches(
        field_of(form, "csrf_token"), "login", browser.id
    ):
        raise forged()
    username, password, request_id = (
        field_of(form, "username"),
        field_of(form, "password"),
        field_of(form, "request"),
    )
    async with services.database.reading() as tx:
        waiting = await _find_waiting(tx, services, browser, request_id)
        known = await store.find_user_by_username(tx, username)
        hashes = browser.hashes(services.keys)
        # Asked for unknown people too: the answer must not take longer for one kind than for the other.
        known_as = browser.id if await store.knows_device(tx, known.id if known else "", hashes) else None
    view = SignInView(waiting, username, device=_device_next(services, field_of(form, "device")))
    if not await services.limits.may_try_password(username, origin.source, known_as):
        count_refusal("/login", "too_many_tries")
        page = _page(http, services, browser, view, error=_SLOW_DOWN, status=429)
        page.headers["Retry-After"] = str(_RETRY_AFTER)
        return page
    user = await authenticate(services.passwords, known, password)
    async with services.database.transaction() as tx:
        if user is None or not await still_stands(tx, user):
            count_refusal("/login", "wrong_password")
            await record(
                tx,
                "user.sign_in_refused",
                origin,
                outcome="access_denied",
                user_id=known.id if known else None,
            )
            return _page(http, services, browser, view, error=_REFUSED, status=401)
        await renew_hash(tx, services.passwords, user, password)
        if browser.session_id:
            # Whoever was signed in before is so no longer, on the server too (ASVS 7.2.4).
            await store.delete_sessions(tx, services.keys.hashes(browser.session_id))
        agent = http.headers.get("user-agent")
        at = demand_of(waiting.request).time_of_sign_in(origin.now) if waiting else origin.now
        session_id = await start_session(tx, services.keys, user, origin, browser.id, agent, at)
    await services.limits.forget_tries(username, origin.source, known_as)
    onward = services.address.path(view.onward)
    response = RedirectResponse(onward, 303, {"Cache-Control": "no-store"})
    set_session(response, services, session_id)
    return response


@router.get("/logout")
async def show_sign_out(
    http: Request, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Asks before it signs out; without a session it says that nobody is signed in."""
    async with services.database.transaction() as tx:
        current = await signed_in(tx, services, browser, origin)
    context = {
        "action": services.address.path("/logout"),
        "csrf_token": services.keys.form_token("logout", current.session_hash) if current else "",
        "user": current.user if current else None,
    }
    return render_page(http, "logout.html", context)


@router.post("/logout")
async def do_sign_out(
    form: PageFormDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """End the session on the server and forget the cookie."""
    async with services.database.transaction() as tx:
        current = await signed_in(tx, services, browser, origin)
        if current is not None:
            if not services.keys.form_token_matches(
                field_of(form, "csrf_token"), "logout", current.session_hash
            ):
                raise forged()
            await sign_out(tx, current, origin)
    response = RedirectResponse(services.address.path("/logout"), 303, {"Cache-Control": "no-store"})
    clear_session(response, services)
    return response


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits in this browser, and the client behind it."""

    request: AuthorizationRequest
    client: Client


@dataclass(frozen=True, slots=True)
class DeviceNext:
    """The device page is to come next, with this code in its field; None while it is still to be typed."""

    user_code: str | None

    @property
    def field(self) -> str:
        """How addresses and forms of this page say so."""
        return self.user_code or "new"

    @property
    def address(self) -> str:
        """The page."""
        return f"/device?user_code={self.user_code}" if self.user_code else "/device"


@dataclass(frozen=True, slots=True)
class SignInView:
    """What the sign-in page shows: what waits, the name to fill in, who is signed in already, and what comes next."""

    waiting: Waiting | None
    username: str = ""
    current: SignedIn | None = None
    device: DeviceNext | None = None

    @property
    def _demand(self) -> Demand:
        return demand_of(self.waiting.request) if self.waiting else Demand()

    @property
    def may_go_on(self) -> bool:
        """Whether whoever is signed in is enough."""
        return self.current is not None and self._demand.is_met_by(sign_in_of(self.current))

    @property
    def expects_another(self) -> bool:
        """Whether the app wants someone else than who is signed in."""
        return self.current is not None and self._demand.subject not in {None, self.current.user.id}

    @property
    def asked_again(self) -> bool:
        """Whether the app wants who is signed in, but a later sign-in."""
        return self.current is not None and not self.may_go_on and not self.expects_another

    @property
    def onward(self) -> str:
        """The page after it."""
        if self.waiting:
            return f"/consent/{self.waiting.request.id}"
        return self.device.address if self.device else "/"


def _page(
    http: Request,
    services: Services,
    browser: Browser,
    view: SignInView,
    *,
    error: str | None = None,
    status: int = 200,
) -> Response:
    current = view.current
    context = {
        "action": services.address.path("/login"),
        "csrf_token": services.keys.form_token("login", browser.id),
        "request_id": view.waiting.request.id if view.waiting else None,
        "client_name": view.waiting.client.display_name if view.waiting else None,
        "username": view.username,
        "again": view.asked_again,
        "expects_another": view.expects_another,
        "device": view.device,
        "onward_url": services.address.path(view.onward) if view.onward != "/" and view.may_go_on else None,
        "error": error,
        "retry_after": _RETRY_AFTER if status == 429 else None,
        "user": current.user if current else None,
        "reference": None,
    }
    page = render_page(http, "login.html", context, status=status, forms_lead_away=True)
    remember_browser(page, services, browser)
    return page


async def _find_waiting(
    tx: Transaction, services: Services, browser: Browser, request_id: str
) -> Waiting | None:
    """What waits in this browser under this id."""
    if not request_id:
        return None
    request = await requests.find_request(tx, request_id, browser.hashes(services.keys))
    client = await requests.find_client(tx, request.client_id) if request else None
    return Waiting(request, client) if request and client else None


def next_is_device(typed: str) -> DeviceNext:
    """The device page with a code; what is none is left out."""
    code = read_user_code(typed)
    return DeviceNext(format_user_code(code) if code else None)


def _device_next(services: Services, device: str) -> DeviceNext | None:
    """What the address or form says about a device."""
    return next_is_device(device) if device and services.policy.has(Feature.DEVICE) else None


def field_of(form: Parameters, name: str) -> str:
    """A field of our own form; one that is missing or repeated counts as empty."""
    values = form.all(name)
    return values[0] if len(values) == 1 else ""
