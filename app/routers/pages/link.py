"""The page behind a link that lets someone choose a password, or confirms an address.

Opening it uses nothing up: programs that look through mail open links as well. The form does, and only in the browser
that opened the page. The page names no referrer, because its address is the secret (LGN-12).
"""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts import links
from app.accounts.links import Issued, Purpose
from app.accounts.passwords import MINIMUM_LENGTH
from app.accounts.people import Refused, hash_of
from app.accounts.records import AccountLink, User
from app.audit import Origin
from app.authorization_server.revocation import revoke_user
from app.oauth.errors import AccessDenied, TooManyRequests
from app.oauth.parameters import Parameters
from app.routers.browser import (
    Browser,
    BrowserDep,
    forged,
    keep_next_step,
    kept_next_step,
    me_of,
    remember_browser,
    signed_in,
)
from app.routers.dependencies import OriginDep, ServicesDep, record_refusal
from app.routers.errors import PageError, page_error_response
from app.routers.pages.forms import UnreferredFormDep, field_of
from app.routers.pages.next_step import find_next_step
from app.routers.pages.render import render_page
from app.routers.pages.signing_in import complete_sign_in
from app.routers.pages.words import moment
from app.routers.services import Services

router = APIRouter(tags=["pages"])
_PATH = "/link"
_RETRY_AFTER = 600
_OVER = (
    "This link is not good, or not any more: each works once and for a while, and a newer one replaces it."
)


def link_url(services: Services, issued: Issued) -> str:
    """The whole address of a new link."""
    return f"{services.policy.issuer}{_PATH}/{issued.token}"


@router.get("/link/{token}")
async def show(
    http: Request, token: str, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Ask for a password, or whether the address is theirs."""
    try:
        async with services.database.reading() as tx:
            link, user = await links.find(tx, services.keys, token, origin)
            current = await signed_in(tx, services, browser, origin, touch=False, anyhow=True)
    except links.NotGood as error:
        return await _refuse(http, services, origin, error)
    other = me_of(current) if current is not None and current.user.id != user.id else None
    return _page(http, services, browser, origin, token, link, user, other=other)


@router.post("/link/{token}")
async def use(
    http: Request,
    token: str,
    form: UnreferredFormDep,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
) -> Response:
    """Use the link up. Whoever has a second factor is asked for it next, as at every sign-in."""
    csrf_token = field_of(form, "csrf_token")
    if browser.is_new or not services.keys.form_token_matches(csrf_token, "link", browser.id, token):
        raise forged()
    try:
        async with services.database.reading() as tx:
            link, user = await links.find(tx, services.keys, token, origin)
        if link.purpose == Purpose.EMAIL:
            return await _confirm(http, services, token, origin)
        try:
            hashed = await _hash_of_new(services, form)
        except Refused as error:
            return _page(http, services, browser, origin, token, link, user, error=str(error))
        return await _set_password(http, services, browser, origin, token, hashed, form)
    except links.NotGood as error:
        return await _refuse(http, services, origin, error)


async def _hash_of_new(services: Services, form: Parameters) -> str:
    """Hashing takes long, so no transaction is open meanwhile.

    Raises:
        Refused: the password is none that anybody may have, or was not the same twice.
    """
    new = field_of(form, "new")
    if new != field_of(form, "again"):
        raise Refused("The password was not the same twice.")
    return await hash_of(services.passwords, new)


async def _set_password(
    http: Request,
    services: Services,
    browser: Browser,
    origin: Origin,
    token: str,
    hashed: str,
    form: Parameters,
) -> Response:
    async with services.database.transaction() as tx:
        _, user = await links.set_password(tx, services.keys, token, hashed, origin)
        if field_of(form, "disconnect"):
            await revoke_user(tx, services.policy, user.id, "password_reset", origin)
        step = await find_next_step(tx, services, browser, kept_next_step(http, services))
        response = await complete_sign_in(tx, http, services, browser, origin, user, ["pwd"], step)
    keep_next_step(response, services, "")
    return response


async def _confirm(http: Request, services: Services, token: str, origin: Origin) -> Response:
    async with services.database.transaction() as tx:
        link, user = await links.confirm_email(tx, services.keys, token, origin)
    context = {"email": link.email, "user": {"username": user.username, "name": user.name}}
    return _unreferred(render_page(http, "link_confirmed.html", context))


def _page(
    http: Request,
    services: Services,
    browser: Browser,
    origin: Origin,
    token: str,
    link: AccountLink,
    user: User,
    *,
    other: dict[str, str] | None = None,
    error: str | None = None,
) -> Response:
    context = {
        "action": services.address.path(f"{_PATH}/{token}"),
        "csrf_token": services.keys.form_token("link", browser.id, token),
        "purpose": link.purpose,
        "email": link.email,
        "user": {"username": user.username, "name": user.name},
        "other": other,
        "until": moment(origin.now, link.expires_at),
        "shortest_password": MINIMUM_LENGTH,
        "error": error,
    }
    page = render_page(http, "link.html", context, status=422 if error else 200)
    remember_browser(page, services, browser)
    return _unreferred(page)


async def _refuse(http: Request, services: Services, origin: Origin, error: links.NotGood) -> Response:
    """One page whatever is wrong; the record tells operators what, under the reference on the page."""
    services.reporter.count("/link/{token}", error.reason)
    if not await services.limits.count_wrong_link(origin.source):
        slow_down = PageError(
            "Too many links that are not good",
            "From your network so many links were tried that this server waits a while.",
            status=429,
            who="You can, by waiting.",
            advice="Try again in ten minutes.",
            cause=TooManyRequests("Too many links.", reason="too_many_links"),
            retry_after=_RETRY_AFTER,
        )
        return _unreferred(page_error_response(http, slow_down))
    cause = AccessDenied(_OVER, reason=error.reason)
    cause.user_id = error.user_id
    async with services.database.transaction() as tx:
        await record_refusal(tx, http, origin, cause)
    over = PageError(
        "This link does not work",
        _OVER,
        status=404,
        who="Whoever gave you the link, or the operator of this server: they can make a new one.",
        advice="Open the newest link that you got, whole as it is. If it does not work either, ask for another one.",
        cause=cause,
    )
    return _unreferred(page_error_response(http, over))


def _unreferred(response: Response) -> Response:
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
