"""Traces for OpenTelemetry, where an operator names a collector: `pip install ostiary[otel]` and
`OTEL_EXPORTER_OTLP_ENDPOINT`, with the variables of its specification for everything else.

Spans carry names and numbers of ours: the template of a route, never an address or a query; a statement's text, never
its parameters; the type of an exception, never its words.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from sqlalchemy import Engine, event

from app import __version__
from app.settings import collector_named

log = logging.getLogger(__name__)
NAME = "ostiary"
_SPAN = "ostiary_span"
_LONGEST_STATEMENT = 1000
_LAST_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Tracing:
    """What makes spans, and what sends the last of them at the end."""

    tracer: Tracer
    close: Callable[[], None]


def tracing_from_environment() -> Tracing | None:
    """Send spans to the collector that the environment names; None where it names none.

    Tools and libraries that speak to OpenTelemetry's interface, the MCP SDK among them, send theirs there as well.
    """
    if not collector_named():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but there are no traces: pip install ostiary[otel]")
        return None
    ours = Resource({"service.name": NAME, "service.version": __version__})
    resource = Resource.create().merge(ours).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return Tracing(provider.get_tracer(NAME, __version__), partial(_in_time, provider.shutdown))


def _in_time(work: Callable[[], None]) -> None:
    """Send what is left; a collector that does not answer is not waited for until its time is out."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(_LAST_SECONDS)


def trace_statements(engine: Engine, tracer: Tracer) -> None:
    """A span for each statement of a request; those of background tasks belong to none and get none."""
    system = "postgresql" if engine.dialect.name == "postgresql" else "sqlite"

    @event.listens_for(engine, "before_cursor_execute")
    def begins(
        _connection: object, _cursor: object, statement: str, _parameters: object, context: Any, _many: bool
    ) -> None:
        if not trace.get_current_span().is_recording():
            return
        operation = statement.split(None, 1)[0].upper()
        attributes = {
            "db.system.name": system,
            "db.operation.name": operation,
            "db.query.text": statement[:_LONGEST_STATEMENT],
        }
        setattr(context, _SPAN, tracer.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes))

    @event.listens_for(engine, "after_cursor_execute")
    def ended(
        _connection: object, _cursor: object, _statement: str, _parameters: object, context: Any, _many: bool
    ) -> None:
        if (span := getattr(context, _SPAN, None)) is not None:
            span.end()

    @event.listens_for(engine, "handle_error")
    def failed(failure: Any) -> None:
        if (span := getattr(failure.execution_context, _SPAN, None)) is not None:
            span.set_attribute("error.type", type(failure.original_exception).__name__)
            span.set_status(StatusCode.ERROR)
            span.end()
