"""The one place that turns a refusal into JSON or a page."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from app.database import DatabaseUnavailable
from app.hooks import ErrorChanges, Failure
from app.oauth.credentials import mint_reference
from app.oauth.errors import (
    ContentTooLarge,
    InsufficientScope,
    InvalidClient,
    InvalidDPoPProof,
    InvalidRequest,
    InvalidToken,
    MethodNotAllowed,
    OAuthError,
    ServerError,
    TemporarilyUnavailable,
    UseDPoPNonce,
)
from app.routers.endpoints import endpoint_of
from app.routers.observation import CLIENT_WENT_AWAY
from app.routers.pages.render import render_page
from app.routers.services import Services

log = logging.getLogger(__name__)

_OPERATOR = "This server’s operator can help; tell them the reference."
_AS_IT_IS = ErrorChanges()
_AGAIN = "Go back to the app and start the connection again."


class PageError(Exception):
    """A refusal that a person reads.

    Args:
        what: what happened, in one sentence.
        who: who can mend it.
        advice: what to do now.
        cause: the protocol error behind it, for the audit record.
        continue_url, continue_host: where a link may lead on, and its honest name.
    """

    def __init__(
        self,
        title: str,
        what: str,
        *,
        status: int = 400,
        who: str = _OPERATOR,
        advice: str = _AGAIN,
        cause: OAuthError | None = None,
        continue_url: str | None = None,
        continue_host: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(what)
        self.title = title
        self.what = what
        self.status = status
        self.who = who
        self.advice = advice
        self.cause = cause
        self.continue_url = continue_url
        self.continue_host = continue_host
        self.retry_after = retry_after


def oauth_error_response(error: OAuthError, changes: ErrorChanges = _AS_IT_IS) -> JSONResponse:
    """RFC 6749 §5.2: code and description, never cached; the operator may have found other words.

    What went into the audit record carries its reference, in a member of our own (§8.2 lets errors have more).
    """
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, InvalidClient) and error.challenge_basic:
        headers["WWW-Authenticate"] = 'Basic realm="ostiary"'
    if isinstance(error, InvalidToken | InsufficientScope | InvalidDPoPProof) and error.challenge:
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, UseDPoPNonce):
        headers["DPoP-Nonce"] = error.nonce
    body = {"error": error.error, "error_description": changes.description or error.description}
    if changes.uri is not None:
        body["error_uri"] = changes.uri
    if error.reference is not None:
        # Whoever reads the answer can ask the operator, who finds what happened under it.
        body["error_reference"] = error.reference
    return JSONResponse(body, error.status, headers)


def page_error_response(request: Request, error: PageError) -> Response:
    """An error page; never cached, never a redirect."""
    reference = (error.cause.reference if error.cause else None) or mint_reference()
    if error.cause is None or error.cause.reference is None:
        log.info("Refused %s with %s, reference %s", endpoint_of(request), error.status, reference)
    response = render_page(
        request,
        "error.html",
        {
            "title": error.title,
            "what": error.what,
            "who": error.who,
            "next": error.advice,
            "reference": reference,
            "continue_url": error.continue_url,
            "continue_host": error.continue_host,
            "status": error.status,
        },
        status=error.status,
    )
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def wants_page(request: Request) -> bool:
    """Whether a person looks at the answer: a browser asks for HTML, and no endpoint for machines is meant."""
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and not path.startswith(
        ("/oauth/", "/.well-known/")
    )


async def _refused(request: Request, error: OAuthError) -> Response:
    changes = await _report(request, error.status, error)
    description = error.description if changes.description is None else changes.description
    if not wants_page(request):
        return oauth_error_response(error, ErrorChanges(description, changes.uri))
    page = PageError(
        "That did not work",
        description,
        status=error.status,
        cause=error,
        retry_after=error.retry_after,
    )
    return page_error_response(request, page)


async def _refused_page(request: Request, error: PageError) -> Response:
    await _report(request, error.status, error.cause)
    return page_error_response(request, error)


async def _report(request: Request, status: int, error: OAuthError | None) -> ErrorChanges:
    """A refusal without a protocol error behind it is about a page of ours: a form, an address."""
    failure = Failure(
        endpoint=endpoint_of(request),
        status=status,
        error=error.error if error else "page",
        description=error.description if error else "",
        reason=error.reason if error else None,
        client_id=error.client_id if error else None,
        reference=error.reference if error else None,
    )
    services: Services = request.app.state.services
    return await services.reporter.report(failure)


async def _unavailable(request: Request, error: DatabaseUnavailable) -> Response:
    log.warning("%s %s found no database: %s", request.method, endpoint_of(request), error)
    return await _refused(request, TemporarilyUnavailable())


async def _not_served(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        return _not_found(request)
    if error.status_code == 405:
        response = await _refused(request, MethodNotAllowed("The method is not allowed here."))
    elif error.status_code == 413:
        response = await _refused(request, ContentTooLarge("The request body is too large."))
    else:
        response = await _refused(request, InvalidRequest("The request could not be read."))
    response.headers.update(error.headers or {})
    return response


async def _invalid(request: Request, _error: RequestValidationError) -> Response:
    return await _refused(request, InvalidRequest("A parameter of the request is malformed."))


async def _gone(_request: Request, _error: ClientDisconnect) -> Response:
    """The client hung up before it had sent everything. Nobody reads this answer, and nothing broke."""
    return Response(status_code=CLIENT_WENT_AWAY)


async def _broken(request: Request, error: Exception) -> Response:
    reference = mint_reference()
    failure = ServerError(f"The server made a mistake; its reference is {reference}.")
    failure.reference = reference
    log.error("%s %s failed: %s", request.method, endpoint_of(request), failure.description, exc_info=error)
    return await _refused(request, failure)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every refusal of this application."""
    app.exception_handler(OAuthError)(_refused)
    app.exception_handler(PageError)(_refused_page)
    app.exception_handler(DatabaseUnavailable)(_unavailable)
    app.exception_handler(HTTPException)(_not_served)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(ClientDisconnect)(_gone)
    app.exception_handler(Exception)(_broken)


def _not_found(request: Request) -> Response:
    if wants_page(request):
        missing = PageError(
            "There is nothing here",
            "This address leads nowhere on this server.",
            status=404,
            who="You can, by checking the address.",
            advice="Go to this server’s first page.",
        )
        return page_error_response(request, missing)
    return JSONResponse(
        {"error": "not_found", "error_description": "There is nothing at this address."},
        404,
        {"Cache-Control": "no-store"},
    )
