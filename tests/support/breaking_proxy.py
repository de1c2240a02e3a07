"""A proxy with TLS in front of a real server, that breaks one thing on the way: the server, wrong in one place."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

# Of no use over http; to load the authorities for each request takes long.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class BreakingProxy:
    """What it is to do wrong is set before it is asked.

    `instead` is asked first, and answers in place of the server where it returns a response; `after` may change
    what the server answered.
    """

    upstream: str
    port: int = 0
    instead: Callable[[Request, bytes], Response | None] | None = None
    after: Callable[[Request, Response], None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        response = self.instead(request, body) if self.instead else None
        if response is None:
            response = await self._forward(request, body)
            if self.after:
                self.after(request, response)
        await response(scope, receive, send)

    async def _forward(self, request: Request, body: bytes) -> Response:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        kept = [
            (name, value)
            for name, value in request.headers.items()
            if name not in {"content-length", "connection"}
        ]
        async with httpx2.AsyncClient(base_url=self.upstream, timeout=20, verify=_NO_TLS) as http:
            answer = await http.request(request.method, target, headers=kept, content=body)
        response = Response(answer.content, answer.status_code)
        response.raw_headers = [
            *(pair for pair in answer.headers.raw if pair[0].lower() not in {b"content-length", b"date"}),
            (b"content-length", str(len(answer.content)).encode()),
        ]
        return response


@contextmanager
def running_proxy(upstream: str, tls: ssl.SSLContext) -> Iterator[BreakingProxy]:
    """One that listens for the time of the `with` block."""
    proxy = BreakingProxy(upstream)
    listener = socket.create_server(("127.0.0.1", 0))
    proxy.port = listener.getsockname()[1]
    config = uvicorn.Config(proxy, lifespan="off", log_config=None, ws="none")
    config.load()
    config.ssl = tls
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        runner.should_exit = True
        thread.join(20)
        listener.close()
