"""What one connection may take of this process: the size and the time of a request's head, the time of its body.

A proxy in front limits the same; without one, a client that sends a byte a minute would hold its connection for ever,
and a head without end would fill the memory. uvicorn leaves both to the proxy.
"""

import json
from asyncio import TimerHandle, Transport
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.routers.metrics import count_refusal

_TOO_LARGE = (431, "The head of the request is too large.")
_TOO_SLOW = (408, "The request did not arrive in time.")
_MALFORMED = (400, "This is no HTTP request.")
_REASONS = {431: "head_too_large", 408: "request_too_slow", 400: "malformed_request"}


class _Malformed(Exception):
    """Ends the parsing: the head breaks a rule of HTTP, or more requests were sent ahead than anybody has a use for."""


class LimitedConnection(HttpToolsProtocol):
    """One connection, as uvicorn serves it, within limits, and ended in a way that loses no request.

    Attributes:
        largest_head: bytes of request line and headers together, and of trailers.
        head_seconds: from the first byte of a request, or the beginning of the connection, to the end of its head.
        body_seconds: from there to the end of its body.
        drain_seconds: how long a connection that waits for its next request is kept when the server ends. A proxy that
            sends one in this moment gets its answer, with `Connection: close`, instead of a broken connection.
    """

    largest_head = 64 * 1024
    head_seconds = 10.0
    body_seconds = 60.0
    drain_seconds = 1.0
    # Requests that were sent ahead (RFC 9112 §9.3.2) and wait; hardly a client does so.
    most_waiting = 50

    # What is awaited: `head` or `body`; None while a request is answered, and between two.
    _awaited: str | None = None
    _timer: TimerHandle | None = None
    # Bytes of a head that has not ended yet, or since the last piece of a body.
    _head = 0
    _in_body = False
    _ending = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._await("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        # Most requests arrive in one piece: they need no timer.
        self._await("body" if self._in_body else "head" if self._head else None)
        if self._head > self.largest_head:
            # The parser tells nothing of a head before its end.
            self._refuse(*_TOO_LARGE)

    def on_message_begin(self) -> None:
        # It may have come in one piece with the end of the request before it.
        self._head = max(self._head, 1)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are no headers (RFC 9110 §6.5.1): one could name another client's address behind the proxy's back.
        if not self._in_body:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= self.most_waiting:
            raise _Malformed
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            # RFC 9112 §3.2: each server on the way could take another one for the address that is meant.
            raise _Malformed
        if (
            len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            > self.largest_head
        ):
            # Nobody looks at what it asks for, and the parser of addresses takes none of this length.
            self.app, self.url = _head_too_large, b"/"
        super().on_headers_complete()
        # Not before: what the parser of addresses does not take is answered as a head.
        self._in_body = True
        self._head = 0
        if self._ending:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_body = False
        self._head = 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """Told once, when the server begins to end: answer what is asked, then close."""
        self._ending = True
        app: Any = self.config.loaded_app
        app.stopping = True
        if self._answering:
            super().shutdown()
        else:
            self.loop.call_later(self.drain_seconds, super().shutdown)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, which are no JSON
        self._refuse(*_MALFORMED)

    def _unsupported_upgrade_warning(self) -> None:
        """Anybody may ask for one: that is no news, and a library for it would not help."""

    @property
    def _answering(self) -> bool:
        # uvicorn calls it a cycle, and has none at first.
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _await(self, what: str | None) -> None:
        """Start the time of what is awaited from now on."""
        if what == self._awaited:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._awaited, self._timer = what, None
        if what is not None:
            seconds = self.head_seconds if what == "head" else self.body_seconds
            self._timer = self.loop.call_later(seconds, self._refuse, *_TOO_SLOW)

    def _refuse(self, status: int, description: str) -> None:
        """Close the connection, with an answer if that can be one to what was asked, and to nothing else."""
        self._await(None)
        if self.transport.is_closing():
            return
        # A body may be awaited still when its request is answered already; of a head that comes while the request
        # before it is answered, nothing can be said in between.
        unanswered = self._answering and not self.cycle.response_started and not self.pipeline
        if unanswered if self._in_body else self._head and not self._answering:
            headers, body = _answer(status, description)
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self.transport.close()


def _answer(status: int, description: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    count_refusal("connection", "invalid_request", _REASONS[status])
    body = json.dumps({"error": "invalid_request", "error_description": description}).encode()
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ], body


async def _head_too_large(_scope: Scope, _receive: Receive, send: Send) -> None:
    status, description = _TOO_LARGE
    headers, body = _answer(status, description)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
