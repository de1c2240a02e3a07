"""Signing in and out."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import store
from app.accounts.passkeys import Ceremony, Purpose
from app.accounts.sign_in import SignedIn, authenticate, renew_hash, sign_out, still_stands
from app.audit import Origin, record
from app.routers.browser import (
    Browser,
    BrowserDep,
    clear_session,
    forged,
    is_complete,
    remember_browser,
    sign_in_of,
    signed_in,
)
from app.routers.dependencies import OriginDep, ServicesDep
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.next_step import PARAMETERS, NextStep, find_next_step
from app.routers.pages.passkey_forms import passkey_request
from app.routers.pages.render import render_page
from app.routers.pages.signing_in import complete_sign_in
from app.routers.services import Services

router = APIRouter(tags=["pages"])
_REFUSED = "The name or the password is not right."
_SLOW_DOWN = "Too many tries. Wait a few minutes, then try again."
_RETRY_AFTER = 300


@router.get("/login")
async def show_sign_in(
    http: Request,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    request: Annotated[str, Query(max_length=100)] = "",
    device: Annotated[str, Query(max_length=100)] = "",
    page: Annotated[str, Query(alias="next", max_length=300)] = "",
    fresh: Annotated[str, Query(max_length=10)] = "",
    switch: bool = False,
) -> Response:
    """The sign-in page. Someone who is signed in goes on at once, unless they want to be someone else, or the app
    demands a new sign-in or another person.
    """
    async with services.database.transaction() as tx:
        current = await signed_in(tx, services, browser, origin, anyhow=True)
        asked = {"request": request, "device": device, "next": page, "fresh": fresh}
        step = await find_next_step(tx, services, browser, asked)
    hint = (step.waiting.request.login_hint if step.waiting else None) or ""
    view = SignInView(step, hint, current, current is not None and is_complete(services, current))
    if view.may_go_on and not switch:
        onward = services.address.path(step.path)
        return RedirectResponse(onward, 303, {"Cache-Control": "no-store"})
    if view.asked_again and current is not None:
        view = replace(view, username=view.username or current.user.username)
    return sign_in_page(http, services, browser, origin, view)


@router.post("/login")
async def sign_in(
    http: Request, form: PageFormDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Check name and password; the session id is always a new one."""
    if browser.is_new or not services.keys.form_token_matches(
        field_of(form, "csrf_token"), "login", browser.id
    ):
        raise forged()
    username, password = field_of(form, "username"), field_of(form, "password")
    async with services.database.reading() as tx:
        step = await find_next_step(
            tx, services, browser, {name: field_of(form, name) for name in PARAMETERS}
        )
        known = await store.find_user_by_username(tx, username)
        hashes = browser.hashes(services.keys)
        # Asked for unknown people too: the answer must not take longer for one kind than for the other.
        known_as = browser.id if await store.knows_device(tx, known.id if known else "", hashes) else None
    view = SignInView(step, username)
    if not await services.limits.may_try_password(username, origin.source, known_as):
        services.reporter.count("/login", "too_many_tries")
        page = sign_in_page(http, services, browser, origin, view, error=_SLOW_DOWN, status=429)
        page.headers["Retry-After"] = str(_RETRY_AFTER)
        return page
    user = await authenticate(services.passwords, known, password)
    async with services.database.transaction() as tx:
        if user is None or not await still_stands(tx, user):
            services.reporter.count("/login", "wrong_password")
            await record(
                tx,
                "user.sign_in_refused",
                origin,
                outcome="access_denied",
                user_id=known.id if known else None,
            )
            return sign_in_page(http, services, browser, origin, view, error=_REFUSED, status=401)
        await renew_hash(tx, services.passwords, user, password)
        response = await complete_sign_in(tx, http, services, browser, origin, user, ["pwd"], step)
    await services.limits.forget_tries(username, origin.source, known_as)
    return response


@router.get("/logout")
async def show_sign_out(
    http: Request, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Asks before it signs out; without a session it says that nobody is signed in."""
    async with services.database.transaction() as tx:
        current = await signed_in(tx, services, browser, origin, anyhow=True)
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
        current = await signed_in(tx, services, browser, origin, anyhow=True)
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
class SignInView:
    """What the sign-in page shows: what comes next, the name to fill in, and who is signed in already; `complete` when
    with all the factors that everyone has to show here.
    """

    step: NextStep
    username: str = ""
    current: SignedIn | None = None
    complete: bool = True

    @property
    def may_go_on(self) -> bool:
        """Whether whoever is signed in is enough."""
        return (
            self.current is not None
            and self.complete
            and self.step.demand.is_met_by(sign_in_of(self.current))
        )

    @property
    def expects_another(self) -> bool:
        """Whether the app wants someone else than who is signed in."""
        return self.current is not None and self.step.demand.subject not in {None, self.current.user.id}

    @property
    def asked_again(self) -> bool:
        """Whether the app, or a page of ours, wants who is signed in, but a later sign-in."""
        return self.current is not None and not self.may_go_on and not self.expects_another


def sign_in_page(
    http: Request,
    services: Services,
    browser: Browser,
    origin: Origin,
    view: SignInView,
    *,
    error: str | None = None,
    status: int = 200,
) -> Response:
    """The page with all the ways to sign in."""
    current, step = view.current, view.step
    context = {
        "action": services.address.path("/login"),
        "csrf_token": services.keys.form_token("login", browser.id),
        "fields": step.fields,
        "client_name": step.waiting.client.display_name if step.waiting else None,
        "username": view.username,
        "again": view.asked_again,
        "expects_another": view.expects_another,
        "device": step.device,
        "onward_url": services.address.path(step.path) if step.path != "/" and view.may_go_on else None,
        "forgot_url": services.address.path("/forgot" + (f"?{step.query}" if step.query else ""))
        if services.dispatch
        else None,
        "error": error,
        "retry_after": _RETRY_AFTER if status == 429 else None,
        "user": current.user if current else None,
        "reference": None,
        "providers": list(services.providers.values()),
        "passkey": passkey_request(services, Ceremony(Purpose.SIGN_IN, browser.id), (), origin.now),
    }
    page = render_page(http, "login.html", context, status=status, forms_lead_away=True, script=True)
    remember_browser(page, services, browser)
    return page
