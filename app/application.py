"""FastAPI with the protected endpoints in front of it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.routers.description import described
from app.routers.middleware import WATCHED, too_busy


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

    def openapi(self) -> dict[str, Any]:
        """FastAPI's description, completed once."""
        if self.openapi_schema is None:
            self.openapi_schema = described(super().openapi())
        return self.openapi_schema

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.answer_headers]
            await send(message)

        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        endpoint = self.mcp_endpoints.get(scope["path"]) or super().__call__
        if self.running >= self.requests_at_once and scope["path"] not in WATCHED:
            endpoint = too_busy
        self.running += 1
        try:
            await endpoint(scope, receive, send_with_headers)
        finally:
            self.running -= 1
