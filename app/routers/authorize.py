"""The authorization endpoint: checks the request, parks it, and sends the browser to sign in or to decide."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from app.audit import record
from app.authorization_server import authentication, authorization, pushed_requests
from app.authorization_server.authorization import ClientRedirect, UnknownClient
from app.authorization_server.client_documents import DocumentRefused
from app.oauth.errors import (
    InvalidRequest,
    InvalidRequestURI,
    LoginRequired,
    OAuthError,
    TooManyRequests,
)
from app.oauth.parameters import Parameters, parse_parameters
from app.oauth.uris import redirect_target
from app.routers.browser import BrowserDep, remember_browser, sign_in_of, signed_in
from app.routers.client_documents import read_client_document
from app.routers.dependencies import OriginDep, ServicesDep, TransactionDep, read_form, record_refusal
from app.routers.errors import PageError
from app.routers.services import Services

router = APIRouter(tags=["pages"])
# The answer carries the code in its address, which must not travel on as a referrer (RFC 9700 §4.2.4).
# What proxies take at least as they come.
_LONGEST_ADDRESS = 8000
ANSWER_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


async def read_request(request: Request) -> Parameters:
    """The parameters of a GET or of a form that was posted (RFC 6749 §3.1).

    Raises:
        PageError: they can't be read.
    """
    try:
        if request.method == "POST":
            return await read_form(request)
        return parse_parameters(request.url.query.encode("ascii", "replace"))
    except InvalidRequest as error:
        raise broken_request(error) from None


RequestDep = Annotated[Parameters, Depends(read_request)]


async def admit(services: ServicesDep, browser: BrowserDep, origin: OriginDep) -> None:
    """Let strangers ask at a bearable rate: whatever they ask leaves a row. People who are signed in are not held up.

    Raises:
        PageError: there were too many.
    """
    if await services.limits.count_authorization(origin.source):
        return
    async with services.database.reading() as tx:
        current = await signed_in(tx, services, browser, origin, touch=False)
    if current is None or not await services.limits.count_authorization_of(current.user.id):
        raise broken_request(TooManyRequests("Too many people ask from this address.", retry_after=60))


AdmissionDep = Annotated[None, Depends(admit)]


async def read_document(
    request: Request, parameters: RequestDep, services: ServicesDep, origin: OriginDep
) -> None:
    """Read the client's metadata document where there is one, before any transaction waits for the network.

    Raises:
        PageError: it can't be used, or too many are asked for.
    """
    try:
        await read_client_document(request, services, origin, parameters)
    except OAuthError as error:
        raise broken_request(error) from None


DocumentDep = Annotated[None, Depends(read_document)]


@router.get("/authorize")
@router.post("/authorize")
async def authorize(
    request: Request,
    parameters: RequestDep,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    _admission: AdmissionDep,
    _document: DocumentDep,
    tx: TransactionDep,
) -> Response:
    """Start an authorization (OAuth 2.1 §4.1.1); changes nothing but the list of waiting requests."""
    if request.method == "POST" and browser.is_new and (again := _ask_again(services, parameters)):
        return again
    policy = services.policy
    try:
        submission = await pushed_requests.recall(tx, services.keys, policy, parameters, origin.now)
        target = await authorization.identify(tx, submission.parameters)
    except OAuthError as error:
        raise broken_request(error) from None
    current = await signed_in(tx, services, browser, origin)
    sign_in = sign_in_of(current)
    try:
        pushed_requests.check_pushed(submission, target.client, policy)
        valid = authorization.validate(submission.parameters, target, policy)
        client_id, signing_keys = target.client.client_id, services.signing_keys
        demand = authentication.check(
            valid.authentication, client_id, sign_in, signing_keys, policy, origin.now
        )
    except OAuthError as error:
        error.client_id = target.client.client_id
        if current is None:
            raise _without_bouncing(services, target, error) from None
        await record_refusal(tx, request, origin, error)
        address = authorization.error_address(target.redirect_uri, policy, target.state, error)
        return RedirectResponse(address, 303, ANSWER_HEADERS)
    hashes = browser.hashes(services.keys)
    try:
        parked = await pushed_requests.park(tx, submission, valid, demand, hashes, policy, origin.now)
    except InvalidRequestURI as error:
        raise broken_request(error) from None
    if await services.limits.may_record(origin.source):
        await record(
            tx,
            "authorization.requested",
            origin,
            user_id=current.user.id if current else None,
            client_id=parked.client_id,
            reference=parked.reference,
        )
    if not authentication.demand_of(parked).is_met_by(sign_in):
        where = f"/login?request={parked.id}"
    elif authentication.SELECT_ACCOUNT in valid.authentication.prompts:
        where = f"/login?request={parked.id}&switch=true"
    else:
        where = f"/consent/{parked.id}"
    response = RedirectResponse(services.address.path(where), 303, ANSWER_HEADERS)
    remember_browser(response, services, browser)
    return response


def _ask_again(services: Services, parameters: Parameters) -> Response | None:
    """To the same request by GET: a form of another site comes without our cookies (`SameSite=Lax`), which such a step
    brings along. A new id for this browser would take from it what waits in other tabs. None for more than fits into
    an address.
    """
    address = f"{services.address.path('/authorize')}?{urlencode(parameters.pairs())}"
    return RedirectResponse(address, 303, ANSWER_HEADERS) if len(address) <= _LONGEST_ADDRESS else None


def _without_bouncing(services: Services, target: ClientRedirect, error: OAuthError) -> PageError:
    """A refusal for someone who did not sign in: a page names the host, nobody is bounced (RFC 9700 §4.11.2).

    That holds for `prompt=none` too, although OpenID Connect would have the browser sent back at once: anyone can
    register an address, and would have a link on this server that leads there without a question.
    """
    address = authorization.error_address(target.redirect_uri, services.policy, target.state, error)
    host = redirect_target(target.redirect_uri).label
    if isinstance(error, LoginRequired):
        return PageError(
            "You are not signed in here",
            "The app asked whether you are, and asked not to trouble you with a sign-in page.",
            who="You can, by starting the connection in the app.",
            advice="Go back to the app, which is told that you would have to sign in.",
            cause=error,
            continue_url=address,
            continue_host=host,
        )
    return PageError(
        "The app asked for something impossible",
        f"The app’s request was refused: {error.description}",
        who="The app’s maker can mend it.",
        advice="Go back to the app, which is told why, or start the connection again.",
        cause=error,
        continue_url=address,
        continue_host=host,
    )


def broken_request(error: OAuthError) -> PageError:
    """The page for a request that must not be answered by redirect."""
    if isinstance(error, UnknownClient):
        return PageError(
            "This app is not known here",
            error.description,
            who="You can, by reconnecting: remove this server in the app and add it again.",
            advice="Reconnect in the app, so that it registers here anew.",
            cause=error,
        )
    if isinstance(error, DocumentRefused):
        what = f"The app says that it is described at {error.host}. " if error.host else ""
        return PageError(
            "The app could not be identified",
            f"{what}{error.words}",
            who="The app’s maker can mend it.",
            advice="Try again in a minute; if it happens again, tell the app’s maker.",
            cause=error,
        )
    if isinstance(error, InvalidRequestURI):
        return PageError(
            "This address was good once, for a minute",
            f"{error.description} An app’s request is kept for a minute, and for one browser.",
            who="You can, by starting the connection in the app.",
            advice="Go back to the app and start the connection again.",
            cause=error,
        )
    if error.retry_after is not None:
        return PageError(
            "Too busy just now",
            error.description,
            status=error.status,
            who="You can, by waiting.",
            advice="Wait a minute, then go back to the app and start the connection again.",
            cause=error,
            retry_after=error.retry_after,
        )
    return PageError(
        "The app’s request can’t be trusted",
        error.description,
        who="The app’s maker can mend it.",
        advice="Go back to the app and start the connection again; if it happens again, tell its maker.",
        cause=error,
    )
