"""What is written to stderr: one line an event, as JSON for machines or for the eye, never with a secret in it.

Every logger of the process goes the same way: ours, uvicorn's, those of the libraries and of the MCP servers' authors,
whether they ask `logging` or `structlog` for it.
"""

import json
import logging.config
import re
import sys
from collections.abc import Sequence

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from app.settings_parts import LogFormat, LogLevel

# What was opened or signed here, signed tokens of others, credentials of a header, and whatever stands in a query.
# None of it is ever meant to be logged; this is for the words of an exception that somebody else wrote.
_SECRET = re.compile(
    r"\bost_[a-z]+_[\w-]{20,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\b(?:Bearer|Basic|DPoP) [\w.~+/=-]{8,}|(?<=\?)\S*=\S*",
    re.IGNORECASE,
)
_REMOVED = "[removed]"
_TEXTS = ("event", "exception", "stack")
# At debug level these would write out what they carry: parameters, rows, messages and pieces of bodies;
TALKATIVE = ("aiosqlite", "mcp", "python_multipart", "sqlalchemy", "sse_starlette")
# and these whole addresses, with what stands in their queries, before that.
TELLING = ("httpcore2", "httpx2")


def configure(level: LogLevel, form: LogFormat | None = None) -> None:
    """Send every record of this process to stderr.

    Args:
        level: the least that is written; libraries that say much begin at `info` or `warning`.
        form: `pretty` on a terminal and `json` elsewhere when missing.
    """
    form = form or ("pretty" if sys.stderr.isatty() else "json")
    least = level.upper()
    others = "INFO" if level == "debug" else "WARNING" if level == "info" else least
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": _formatter, "form": form}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": least if level == "debug" else others, "handlers": ["stderr"]},
            "loggers": {
                "app": {"level": least},
                **{name: {"level": others} for name in TALKATIVE},
                **{name: {"level": "ERROR" if level == "error" else "WARNING"} for name in TELLING},
            },
        }
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


# One for all lines: made anew each time, as `json.dumps` does it, it would cost a quarter of the line.
_ENCODER = json.JSONEncoder(default=repr)


def _encode(event: EventDict, **_: object) -> str:
    return _ENCODER.encode(event)


def without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out what looks like a secret from the texts of an event."""
    for name in _TEXTS:
        if isinstance(text := event.get(name), str):
            event[name] = _SECRET.sub(_REMOVED, text)
    return event


def trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the trace and the span in which this is said, where there are any."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event


def _shared() -> Sequence[Processor]:
    """What is known of every event, whoever wrote it."""
    return (
        structlog.contextvars.merge_contextvars,
        trace_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    )


def _formatter(form: LogFormat) -> structlog.stdlib.ProcessorFormatter:
    colours = sys.stderr.isatty()
    traces = structlog.dev.plain_traceback
    renderer: Processor = (
        structlog.processors.JSONRenderer(_encode)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, exception_formatter=traces)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_colours,
            # Where an exception came from, never what the variables held at that time.
            structlog.processors.format_exc_info,
            without_secrets,
            renderer,
        ],
    )


def _without_colours(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """uvicorn says the same twice, the second time for a terminal."""
    event.pop("color_message", None)
    return event
