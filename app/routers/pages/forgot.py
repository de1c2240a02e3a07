"""Forgotten passwords: a letter with a link, for whoever shows that they read what comes to their address.

The answer is the same for everyone, and given before anything is looked up: neither its words nor its time tell who has
an account here (LGN-1).
"""

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.accounts import links, store
from app.accounts.letters import Letters
from app.accounts.links import Purpose
from app.audit import Origin, record
from app.dispatch import Dispatch
from app.mail import Letter, NotSent
from app.routers.browser import Browser, BrowserDep, forged, keep_next_step, remember_browser
from app.routers.dependencies import OriginDep, ServicesDep
from app.routers.metrics import count_refusal
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.link import link_url
from app.routers.pages.next_step import PARAMETERS, NextStep, find_next_step
from app.routers.pages.onward import OnwardDep
from app.routers.pages.render import render_page
from app.routers.services import Services

log = logging.getLogger(__name__)

_PATH = "/forgot"
_RETRY_AFTER = 600
_LONGEST = 300
_SLOW_DOWN = "Too many e-mails were asked for from your network. Wait ten minutes, then try again."


router = APIRouter(tags=["pages"])


def get_dispatch(services: ServicesDep) -> Dispatch:
    """Who sends letters; without a mail server there is nothing at this address.

    Raises:
        HTTPException: 404.
    """
    if services.dispatch is None:
        raise HTTPException(404)
    return services.dispatch


DispatchDep = Annotated[Dispatch, Depends(get_dispatch)]


@router.get("/forgot")
async def show(
    http: Request, services: ServicesDep, browser: BrowserDep, onward: OnwardDep, _dispatch: DispatchDep
) -> Response:
    """Ask for the name or the address."""
    return _page(http, services, browser, onward)


@router.post("/forgot")
async def ask(
    http: Request,
    dispatch: DispatchDep,
    form: PageFormDep,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
) -> Response:
    """Answer, and look for somebody to write to beside that."""
    token = field_of(form, "csrf_token")
    if browser.is_new or not services.keys.form_token_matches(token, "forgot", browser.id):
        raise forged()
    async with services.database.reading() as tx:
        fields = {name: field_of(form, name) for name in PARAMETERS}
        onward = await find_next_step(tx, services, browser, fields)
    typed = field_of(form, "who").strip()[:_LONGEST]
    if not typed:
        error = "Type your username or your e-mail address."
        return _page(http, services, browser, onward, error=error, status=422)
    allowed = await services.limits.may_ask_for_link(origin.source)
    if not (allowed and dispatch.begin(lambda: _write(services, dispatch, typed, origin))):
        count_refusal(_PATH, "too_many_letters")
        page = _page(http, services, browser, onward, error=_SLOW_DOWN, status=429)
        page.headers["Retry-After"] = str(_RETRY_AFTER)
        return page
    page = render_page(http, "forgot_sent.html", {"back": _sign_in_path(onward)})
    keep_next_step(page, services, onward.query)
    return page


async def _write(services: Services, dispatch: Dispatch, typed: str, origin: Origin) -> None:
    """Write to everyone who is meant: two people may share an address."""
    letters: list[tuple[Letter, str]] = []
    async with services.database.transaction() as tx:
        reached = await store.find_users_reached_by(tx, typed)
        for user in reached:
            if user.email is None or not await services.limits.may_write_to(user.id):
                await record(
                    tx,
                    "user.reset_refused",
                    origin,
                    outcome="access_denied",
                    reason="too_many_letters",
                    user_id=user.id,
                )
                continue
            purpose = Purpose.PASSWORD_RESET
            issued = await links.issue(tx, services.keys, user, purpose, origin, email=user.email)
            link = link_url(services, issued)
            letter = Letters(services.policy.issuer).password_reset(user, user.email, link)
            letters.append((letter, user.id))
        if not reached and await services.limits.may_record(origin.source):
            await record(
                tx, "user.reset_refused", origin, outcome="access_denied", reason="nobody_to_write_to"
            )
    for letter, user_id in letters:
        try:
            await dispatch.deliver(letter, user_id, origin)
        except NotSent:
            log.info("Whoever asked for a new password got no letter")


def _sign_in_path(onward: NextStep) -> str:
    return f"/login?{onward.query}" if onward.query else "/login"


def _page(
    http: Request,
    services: Services,
    browser: Browser,
    onward: NextStep,
    *,
    error: str | None = None,
    status: int = 200,
) -> Response:
    context = {
        "fields": onward.fields,
        "back": _sign_in_path(onward),
        "action": services.address.path(_PATH),
        "csrf_token": services.keys.form_token("forgot", browser.id),
        "error": error,
        "retry_after": _RETRY_AFTER if status == 429 else None,
    }
    page = render_page(http, "forgot.html", context, status=status)
    remember_browser(page, services, browser)
    return page
