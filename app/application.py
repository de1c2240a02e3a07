"""FastAPI with the protected endpoints in front of it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from fastapi import FastAPI
from opentelemetry.trace import Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.routers.description import described
from app.routers.middleware import WATCHED, too_busy
from app.routers.observation import Observer
from app.settings_parts import AccessLog


class Application(FastAPI):
    """FastAPI with `/mcp` and `/mcp/` taken out in front of it.

    A mount would answer one of the two with 307, and each layer before the endpoint costs every call.
    """

    # The protected endpoints of this process by their path, with and without a slash at its end.
    mcp_endpoints: Mapping[str, ASGIApp] = MappingProxyType({})
    answer_headers: Sequence[tuple[bytes, bytes]] = ()
    # How many requests of this process may run at once, open streams among them, and how many do.
    requests_at_once: int = 1000
    running: int = 0
    # Whether this process is about to end: what it serves, it serves to the end, but nobody is to send it more.
    stopping: bool = False
    # Who sees every request, and what tells who really sent it; both by `watch`.
    _observer: Observer
    _proxied: ProxyHeadersMiddleware
    _prefix: str

    def watch(
        self,
        trusted_proxies: Sequence[str],
        access_log: AccessLog,
        prefix: str,
        tracer: Tracer | None = None,
    ) -> None:
        """See every request.

        Args:
            trusted_proxies: whose headers about the client and the request are believed.
            access_log: which requests are logged.
            prefix: the path of `PUBLIC_URL`, which the paths of protected endpoints may begin with.
            tracer: makes a span of each.
        """
        serve: Any = self._serve
        self._proxied = ProxyHeadersMiddleware(serve, trusted_hosts=list(trusted_proxies))
        self._observer = Observer(access_log, self._proxied.trusted_hosts.__contains__, tracer)
        self._prefix = prefix

    def openapi(self) -> dict[str, Any]:
        """FastAPI's description, completed once."""
        if self.openapi_schema is None:
            self.openapi_schema = described(super().openapi())
        return self.openapi_schema

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        path: str = scope["path"]
        protected = path.rstrip("/").removeprefix(self._prefix) if path in self.mcp_endpoints else None
        with self._observer.begin(scope, protected) as observed:
            added = [*self.answer_headers, (b"x-request-id", observed.seen.request_id.encode())]

            async def send_observed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    observed.answered(message)
                    message["headers"] = [*message["headers"], *added]
                await send(message)

            await self._proxied(cast("Any", scope), cast("Any", receive), cast("Any", send_observed))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.mcp_endpoints.get(scope["path"]) or super().__call__
        if self.running >= self.requests_at_once and scope["path"] not in WATCHED:
            endpoint = too_busy
        self.running += 1
        try:
            await endpoint(scope, receive, send)
        finally:
            self.running -= 1
