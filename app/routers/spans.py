"""The span of a request."""

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from app.routers.seen import Seen

_PROPAGATOR = TraceContextTextMapPropagator()
_PROPAGATED = (b"traceparent", b"tracestate")


class RequestSpan:
    """Lasts as long as its request; what is done meanwhile is a part of it.

    Args:
        trusted: whether who sent the request may say what trace it belongs to.
    """

    __slots__ = ("_span", "_token")

    def __init__(self, tracer: Tracer, seen: Seen, scope: Scope, *, trusted: bool) -> None:
        parent = _parent(scope) if trusted else Context()
        self._span = tracer.start_span(seen.method, parent, SpanKind.SERVER)
        self._token = contexts.attach(trace.set_span_in_context(self._span))

    def end(self, seen: Seen, scope: Scope) -> None:
        """Say what became of the request."""
        client = scope.get("client")
        self._span.update_name(f"{seen.method} {seen.endpoint}")
        self._span.set_attributes(
            {
                "http.request.method": seen.method,
                "http.route": seen.endpoint,
                "http.response.status_code": seen.status,
                "client.address": client[0] if client else "unknown",
                "ostiary.request_id": seen.request_id,
            }
        )
        if seen.status >= 500:
            self._span.set_status(StatusCode.ERROR)
        contexts.detach(self._token)
        self._span.end()


def _parent(scope: Scope) -> Context:
    carried = {
        name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _PROPAGATED
    }
    return _PROPAGATOR.extract(carried, Context())
