"""Protect an MCP server of your own, in a process of its own, with tokens of an Ostiary elsewhere.

app = protect(mcp, issuer="https://auth.example.com", resource="https://notes.example.com/mcp",
              client_id="client_...", client_secret="ost_secret_...")

Needs of this package `app.oauth`, `app.clock` and `app.resource_server`, and no database.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from app.clock import Clock, SystemClock
from app.oauth import dpop
from app.oauth.scopes import REQUIRED_AT_RESOURCE, supported_by_resource
from app.oauth.scopes import Scope as Permission
from app.oauth.uris import canonical_url, is_loopback
from app.resource_server.challenge import Challenge, Challenges, refusal
from app.resource_server.cross_origin import open_to_browsers
from app.resource_server.enforcement import ToolsList, enforce
from app.resource_server.handles import HandleSealer
from app.resource_server.issuer import Credentials, Issuer
from app.resource_server.metadata import WELL_KNOWN, resource_metadata, resource_metadata_url
from app.resource_server.middleware import BearerGuard, OriginCheck
from app.resource_server.possession import PossessionCheck, RememberedProofs
from app.resource_server.remote_verifier import RemoteVerifier

_SECONDS = httpx2.Timeout(5, connect=2)

log = logging.getLogger(__name__)


class Protected:
    """The ASGI application that stands at the resource's address: its metadata, and the guarded endpoint.

    Anything else that the wrapped application serves is not reachable through it, but for `open_paths`.
    """

    def __init__(
        self,
        app: ASGIApp,
        guard: ASGIApp,
        document: Mapping[str, Any],
        open_paths: Collection[str],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        path = urlsplit(document["resource"]).path
        self._app = app
        self._guard = guard
        self._document = _cacheable(document)
        self._open_paths = frozenset(open_paths)
        self._close = close
        self._path = path or "/"
        self._spellings = {self._path, f"{path}/"}
        self._metadata_paths = {WELL_KNOWN, WELL_KNOWN + path}
        self._http = open_to_browsers(self._serve)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                await self._close()
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path in self._spellings:
            # The wrapped application knows one spelling, and would answer the other by redirect.
            scope = {**scope, "path": self._path, "raw_path": self._path.encode()}
            await self._guard(scope, receive, send)
        elif path in self._metadata_paths:
            await _send(send, method, self._document if method in {"GET", "HEAD"} else _NOT_ALLOWED)
        elif path in self._open_paths:
            await self._app(scope, receive, send)
        else:
            await _send(send, method, _NOT_FOUND)


def protect(
    app: MCPServer[Any] | ASGIApp,
    *,
    issuer: str,
    resource: str,
    client_id: str,
    client_secret: str,
    name: str | None = None,
    scopes: Iterable[Permission | str] = supported_by_resource(),
    required_scopes: Collection[str] = REQUIRED_AT_RESOURCE,
    open_paths: Collection[str] = (),
    allowed_origins: Collection[str] | None = None,
    sessions: bool = True,
    tools_list: ToolsList = "all",
    http: httpx2.AsyncClient | None = None,
    clock: Clock | None = None,
) -> Protected:
    """Put an MCP server behind the door, as an ASGI application for uvicorn or any other server.

    Args:
        app: an `MCPServer`, or the ASGI application of any other MCP server, which answers at the resource's path.
            Scopes of single tools (`@requires`) and `CurrentUser` work for the former.
        issuer: the authorization server's issuer identifier: its `PUBLIC_URL`.
        resource: the URL that clients use, the audience of tokens; it stands in the authorization server's `RESOURCES`.
        client_id, client_secret: of a confidential client there that may introspect tokens for this resource.
        name: what people are told it is; the server's own title or name when missing.
        scopes: what means something here; a `Scope` says too what it `implies` and whether it is `on_demand`.
        required_scopes: what everything here needs.
        open_paths: paths of the application that anyone may call, `/healthz` for example.
        allowed_origins: web pages that may call; None for any, on loopback for those on loopback.
        sessions: whether clients of 2025-11-25 and before get sessions, which live in this process.
        tools_list: what `tools/list` does with a tool that the caller can't use; see `Enforcement`.
        http, clock: how the authorization server is reached, and what time it is; our own when missing.

    Raises:
        ValueError: issuer or resource are no absolute URL (`InvalidURI`), or neither https nor on loopback.
    """
    _check_urls(issuer, resource)
    clock = clock or SystemClock()
    client = http or httpx2.AsyncClient(timeout=_SECONDS)
    source = Issuer(issuer, Credentials(client_id, client_secret), client, clock)
    catalogue = tuple(Permission(each, each) if isinstance(each, str) else each for each in scopes)
    first = tuple(each.name for each in catalogue if not each.on_demand or each.name in required_scopes)
    requirements = None
    if isinstance(app, MCPServer):
        name, requirements = name or app.title or app.name, enforce(app, tools_list)
        app = _endpoint_of(app, urlsplit(resource).path or "/", sessions)
    document = resource_metadata(resource, issuer, first, name or resource, dpop.ALGORITHMS)
    guard = BearerGuard(
        app,
        RemoteVerifier(source, resource, clock, catalogue),
        Challenges(resource_metadata_url(resource), first, dpop.ALGORITHMS),
        frozenset(required_scopes),
        OriginCheck(allowed_origins, is_loopback(resource)),
        _log_refusal,
        requirements,
        PossessionCheck((resource, f"{resource}/"), RememberedProofs(clock), None, clock),
        HandleSealer([hmac.digest(client_secret.encode(), b"ostiary/handles", hashlib.sha256)], clock),
    )
    return Protected(app, guard, document, open_paths, _closing(source, None if http else client))


def _log_refusal(status: int, error: str) -> None:
    log.info("Refused with %s, %s", status, error)


def _closing(source: Issuer, client: httpx2.AsyncClient | None) -> Callable[[], Awaitable[None]]:
    """What ends with the application: the client too where it is our own."""

    async def close() -> None:
        await source.close()
        if client is not None:
            await client.aclose()

    return close


def _check_urls(*urls: str) -> None:
    for url in urls:
        if canonical_url(url) != url:
            raise ValueError(f"{url} must be written {canonical_url(url)}")
        if not url.startswith("https://") and not is_loopback(url):
            raise ValueError(f"{url} must be https, except on loopback")


def _endpoint_of(server: MCPServer[Any], path: str, sessions: bool) -> ASGIApp:
    """The SDK's own application, which brings its lifespan along. Host and Origin are checked in front of it."""
    return server.streamable_http_app(
        streamable_http_path=path,
        stateless_http=not sessions,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )


def _cacheable(document: Mapping[str, Any]) -> Challenge:
    encoded = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(encoded)).encode()),
        (b"cache-control", b"public, max-age=300"),
    ]
    return Challenge(200, headers, encoded)


async def _send(send: Send, method: str, answer: Challenge) -> None:
    body = b"" if method == "HEAD" else answer.body
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": body})


_NOT_FOUND = refusal(404, {"error": "not_found", "error_description": "There is nothing at this address."})
_NOT_ALLOWED = refusal(
    405,
    {"error": "invalid_request", "error_description": "The method is not allowed here."},
    [(b"allow", b"GET, HEAD")],
)
