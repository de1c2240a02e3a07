"""Which endpoint a request reached, by the template of its route: from a fixed set, never the path of the request, in
which anything can stand.
"""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from app.routers.seen import NO_ROUTE, SEEN, Seen


def templates_of(app: FastAPI) -> Mapping[int, str]:
    """The whole template of each route, with the prefixes of the routers around it; a route alone knows its own part.

    By the identity of the route, which lives as long as the application.
    """
    templates = {
        id(found.original_route): found.path or NO_ROUTE for found in iter_route_contexts(app.routes)
    }
    # Of what is mounted, requests name only the application.
    mounts = {id(route.app): route.path for route in app.routes if isinstance(route, Mount)}
    return templates | mounts


def endpoint_of(request: Request) -> str:
    """The template of the route that a request came to, `none` if it came to none."""
    return _endpoint_at(request.scope)


class NoteEndpoint:
    """Tells the observer in front which route it became; stands behind all that hands on a copy of the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            seen: Seen = scope[SEEN]
            seen.endpoint = _endpoint_at(scope)


def _endpoint_at(scope: Scope) -> str:
    templates: Mapping[int, str] = scope["app"].state.route_templates
    found = templates.get(id(scope.get("route", scope.get("endpoint"))))
    if found is None:
        # No route; or asked outside, by the handler of last resort, of what was noted on the way out.
        seen: Seen = scope[SEEN]
        return seen.endpoint
    return found
