"""ASGI layers in front of the routes; each does one thing, in a few lines, for every request."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.oauth.errors import ContentTooLarge, TemporarilyUnavailable
from app.resource_server.cross_origin import open_to_browsers
from app.routers.errors import PageError, oauth_error_response, page_error_response, wants_page
from app.routers.metrics import count_refusal

# What browser clients (the Inspector, web chats) call from their own origin. Everything else is pages with cookies,
# which get no CORS at all (RFC 9700 §2.6).
_OPEN_PATHS = ("/.well-known/", "/oauth/", "/mcp/.well-known/")
# What watches over the server asks inside, without TLS.
WATCHED = {"/healthz", "/readyz", "/metrics"}
_HEAD = "app.head"
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class PublicPath:
    """Takes the path of `PUBLIC_URL` off, for proxies that pass it on; those that strip it need nothing."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] + "/").startswith(self._prefix + "/"):
            scope = {**scope, "path": scope["path"].removeprefix(self._prefix) or "/", "raw_path": None}
        await self._app(scope, receive, send)


_FORM_TOO_LARGE = PageError(
    "That is too much",
    "The form was larger than this server takes, so nothing was done.",
    status=413,
    who="You can, by sending less.",
    advice="Go back, and shorten what you filled in.",
)


class _BodyTooLarge(Exception):
    """No `OAuthError`, so that nothing on the way takes it for a malformed form."""


class BodyLimit:
    """Refuses a body that is announced as too large, or turns out to be: in JSON, or where there are `pages`, with one
    for whoever filled in a form.

    The limits of Starlette and of the MCP SDK answer with plain text.
    """

    def __init__(self, app: ASGIApp, largest: int, *, pages: bool = False) -> None:
        self._app = app
        self._largest = largest
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._largest:
                raise _BodyTooLarge
            return message

        try:
            for name, value in scope["headers"]:
                if name == b"content-length" and value.isdigit() and int(value) > self._largest:
                    raise _BodyTooLarge
            await self._app(scope, limited, send)
        except _BodyTooLarge:
            # Raised while the body is read, which is before anything is answered.
            count_refusal("any", "content_too_large")
            request = Request(scope)
            answer = (
                page_error_response(request, _FORM_TOO_LARGE)
                if self._pages and wants_page(request)
                else oauth_error_response(ContentTooLarge("The request body is too large."))
            )
            await answer(scope, receive, send)


async def too_busy(scope: Scope, receive: Receive, send: Send) -> None:
    """What a process answers that has enough to do; asked again a little later, it or another one has less."""
    count_refusal("any", "temporarily_unavailable")
    error = TemporarilyUnavailable("The server has too much to do at this moment; try again shortly.")
    await open_to_browsers(oauth_error_response(error))(scope, receive, send)


class HeadAsGet:
    """Answers HEAD as GET without a body (RFC 9110 §9.3.2); FastAPI's routes know GET only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET", _HEAD: True}, receive, send_without_body)
        else:
            await self._app(scope, receive, send)


def asks_for_headers_only(request: Request) -> bool:
    """Whether HEAD came as GET: what a GET hands out is not handed out."""
    return _HEAD in request.scope


class OpenPaths:
    """CORS on the paths for machines only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = open_to_browsers(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "http" and scope["path"].startswith(_OPEN_PATHS)
        await (self._open if is_open else self._app)(scope, receive, send)


def answer_headers(secure: bool) -> list[tuple[bytes, bytes]]:
    """What every answer carries: never guess a type (ASVS 3.4.4), and on https come back by https only."""
    return [(b"x-content-type-options", b"nosniff"), *([_HSTS] if secure else [])]


class NoPlainPages:
    """No page over plain http, when `PUBLIC_URL` is https and a proxy says that it was asked for in the clear."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self._app = app
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._came_in_the_clear(scope):
            query = scope["query_string"].decode("latin-1")
            address = self._public_url + quote(scope["path"]) + (f"?{query}" if query else "")
            await RedirectResponse(address, 303, {"Cache-Control": "no-store"})(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _came_in_the_clear(self, scope: Scope) -> bool:
        """Whether a proxy says that a page was asked for over http. A liar only redirects himself."""
        if scope["path"].startswith(_OPEN_PATHS) or scope["path"] in WATCHED:
            return False
        return any(
            name == b"x-forwarded-proto" and value.strip().lower() == b"http"
            for name, value in scope["headers"]
        )
