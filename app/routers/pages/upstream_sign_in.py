"""Signing in with another provider, in the middle of whatever the sign-in is for; and linking one to an account."""

from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import upstream
from app.accounts.records import UpstreamSignIn
from app.accounts.upstream import Ticket, Vouched
from app.audit import Origin, record
from app.database import Transaction
from app.oauth.errors import AccessDenied, OAuthError, TooManyRequests
from app.oauth.parameters import Parameters, parse_parameters
from app.routers.browser import Browser, BrowserDep, forged, signed_in
from app.routers.dependencies import OriginDep, ServicesDep
from app.routers.errors import PageError
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.next_step import PARAMETERS, NextStep, find_next_step
from app.routers.pages.sign_in import SignInView, sign_in_page
from app.routers.pages.signing_in import complete_sign_in
from app.routers.services import Services
from app.upstream.provider import Answer, Provider, ProviderFailed

router = APIRouter(tags=["pages"], prefix="/login/upstream")
_SECURITY = "/account/security"
# RFC 8176 has no word for it; others say it like this.
_METHOD = "fed"
_LONGEST = 4096
_WORDS = {
    "user_disabled": "You can’t sign in here at the moment. The operator of this server can tell you why.",
    "not_known_here": "nobody here has that account, or the address that it confirmed. Sign in as you did before, or"
    " ask the operator for an account.",
    "address_taken": "somebody here has the same address, and did not confirm it here. Sign in as you did before, and"
    " connect the two under “How you sign in”.",
    "domain_not_welcome": "people with an address like that can’t sign in here.",
}


async def reach_provider(provider: str, services: ServicesDep, origin: OriginDep) -> Callable[[], Provider]:
    """What gives the provider that a path names, ready to be used, once it is known who asks for it.

    Comes before any transaction, because it may have to be asked. What it gives raises PageError: 404 there is none;
    503 it can't be reached, or what it says can't be used.
    """
    found = services.providers.get(provider)
    problem: ProviderFailed | None = None
    try:
        if found is not None:
            await found.prepare(origin.now)
    except ProviderFailed as error:
        problem = error

    def give() -> Provider:
        if found is None:
            raise PageError("There is nothing here", "This server knows no such way to sign in.", status=404)
        if problem is not None:
            raise _unreachable(found, problem)
        return found

    return give


ReachedDep = Annotated[Callable[[], Provider], Depends(reach_provider)]


def get_provider(reached: ReachedDep) -> Provider:
    """The same, for who need not be known."""
    return reached()


ProviderDep = Annotated[Provider, Depends(get_provider)]


@router.post("/{provider}")
async def begin(
    provider: ProviderDep, form: PageFormDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Send the browser to the provider; what comes after the sign-in is kept here meanwhile."""
    if browser.is_new or not services.keys.form_token_matches(
        field_of(form, "csrf_token"), "login", browser.id
    ):
        raise forged()
    if not await services.limits.count_authorization(origin.source):
        raise TooManyRequests("Too many sign-ins from this address.", retry_after=60)
    async with services.database.transaction() as tx:
        step = await find_next_step(
            tx, services, browser, {name: field_of(form, name) for name in PARAMETERS}
        )
        ticket = await upstream.begin(tx, services.keys, browser.id, provider.id, step.query, origin)
    return send_there(services, provider, ticket, fresh=step.demand.signed_in_after is not None)


@router.get("/{provider}/callback")
async def come_back(
    http: Request, provider: ProviderDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Take the provider's answer: sign somebody in, or link the identity to who is signed in."""
    query = _read_query(http)
    async with services.database.transaction(commit_on=(PageError,)) as tx:
        try:
            began, ticket = await upstream.take(
                tx,
                services.keys,
                _one(query, "state"),
                browser.hashes(services.keys),
                provider.id,
                origin,
            )
        except upstream.Refused as error:
            await _note(tx, services, provider, error.reason, origin)
            raise _start_again(error) from None
    try:
        vouched = await _learn(services, provider, query, ticket, origin)
    except ProviderFailed as error:
        return await _refuse(http, services, browser, origin, provider, began, error.reason)
    if began.user_id is not None:
        return await _link(services, browser, origin, began.user_id, vouched)
    try:
        async with services.database.transaction() as tx:
            user = await upstream.find_person(tx, vouched, provider.welcome, origin)
            step = await _step_of(tx, services, browser, began)
            return await complete_sign_in(tx, http, services, browser, origin, user, [_METHOD], step)
    except upstream.Refused as error:
        return await _refuse(http, services, browser, origin, provider, began, error.reason, error.user_id)


def send_there(services: Services, provider: Provider, ticket: Ticket, *, fresh: bool) -> Response:
    """To the provider's page."""
    address = provider.address(ticket, _redirect_uri(services, provider), fresh=fresh)
    return RedirectResponse(address, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


async def _learn(
    services: Services, provider: Provider, query: Parameters, ticket: Ticket, origin: Origin
) -> Vouched:
    """Raises ProviderFailed."""
    if _one(query, "error"):
        raise ProviderFailed("declined" if _one(query, "error") == "access_denied" else "provider_error")
    code = _one(query, "code")
    if not code:
        raise ProviderFailed("code_missing")
    answer = Answer(code, _one(query, "iss") or None, _redirect_uri(services, provider))
    return await provider.redeem(answer, ticket, origin.now)


async def _link(
    services: Services,
    browser: Browser,
    origin: Origin,
    user_id: str,
    vouched: Vouched,
) -> Response:
    """Give the identity to who began this, if they are still who is signed in."""
    async with services.database.transaction() as tx:
        current = await signed_in(tx, services, browser, origin, anyhow=True)
        try:
            if current is None or current.user.id != user_id:
                raise upstream.Refused("somebody_else_signed_in", user_id)
            await upstream.link(tx, user_id, vouched, origin)
        except upstream.Refused as error:
            services.reporter.count("/login/upstream", error.reason)
            problem = "identity-taken" if error.reason == "identity_taken" else "not-linked"
            return _to_security(services, f"done={problem}")
    return _to_security(services, "done=linked")


async def _refuse(
    http: Request,
    services: Services,
    browser: Browser,
    origin: Origin,
    provider: Provider,
    began: UpstreamSignIn,
    reason: str,
    user_id: str | None = None,
) -> Response:
    """Back to the sign-in page, which goes on with what it was for, or to the page that it was begun on."""
    async with services.database.transaction() as tx:
        await _note(tx, services, provider, reason, origin, user_id)
        step = await _step_of(tx, services, browser, began)
    if began.user_id is not None:
        return _to_security(services, "done=not-linked")
    words = _WORDS.get(reason, "it did not tell who you are. Try again, or sign in as you did before.")
    if reason == "declined":
        words = "you did not agree there."
    sentence = words if reason == "user_disabled" else f"{provider.label} can’t sign you in here: {words}"
    return sign_in_page(http, services, browser, origin, SignInView(step), error=sentence, status=401)


async def _note(
    tx: Transaction,
    services: Services,
    provider: Provider,
    reason: str,
    origin: Origin,
    user_id: str | None = None,
) -> None:
    services.reporter.count("/login/upstream", reason)
    if await services.limits.may_record(origin.source):
        await record(
            tx,
            "user.sign_in_refused",
            origin,
            outcome="access_denied",
            reason=f"{provider.id}: {reason}",
            user_id=user_id,
        )


async def _step_of(tx: Transaction, services: Services, browser: Browser, began: UpstreamSignIn) -> NextStep:
    parameters: Mapping[str, str] = dict(parse_qsl(began.onward))
    return await find_next_step(tx, services, browser, parameters)


def _read_query(http: Request) -> Parameters:
    try:
        return parse_parameters(http.url.query.encode("ascii", "replace"))
    except OAuthError:
        raise _start_again(upstream.Refused("state_unknown")) from None


def _one(query: Parameters, name: str) -> str:
    values = query.all(name)
    return values[0] if len(values) == 1 and len(values[0]) <= _LONGEST else ""


def _redirect_uri(services: Services, provider: Provider) -> str:
    """One for each provider: an answer of one can't be passed off as another's (RFC 9700 §4.4.2)."""
    address = services.address
    return address.origin + address.path(f"/login/upstream/{provider.id}/callback")


def _to_security(services: Services, query: str) -> Response:
    address = services.address.path(f"{_SECURITY}?{query}")
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def _start_again(error: upstream.Refused) -> PageError:
    return PageError(
        "Start again",
        "This sign-in was not begun in this browser, was finished already, or took too long.",
        who="You can, by signing in once more.",
        advice="Go back to the app, or to the page where you signed in, and start again.",
        cause=AccessDenied("The sign-in is not expected here.", reason=error.reason),
    )


def _unreachable(provider: Provider, error: ProviderFailed) -> PageError:
    return PageError(
        f"{provider.label} can’t be reached",
        "This server got no usable answer from there, so nobody can sign in with it at the moment.",
        status=503,
        advice="Go back and sign in in another way, or try again in a few minutes.",
        cause=AccessDenied("The provider can't be reached.", reason=f"provider_{error.reason}"),
        retry_after=60,
    )
