"""What is seen of every request: its id, to which endpoint it came, how it was answered and how long that took.

Each request to `/mcp` pays for this, so it is a few look-ups, and a line in the log only where somebody reads it.
"""

import logging
import re
from collections.abc import Callable
from time import perf_counter

import structlog
from opentelemetry.trace import Tracer
from prometheus_client import Counter, Histogram
from starlette.types import Message, Scope

from app.oauth.credentials import mint_id
from app.routers import metrics
from app.routers.seen import SEEN, Seen
from app.routers.spans import RequestSpan
from app.settings_parts import AccessLog

log = logging.getLogger("app.access")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._=-]{8,128}\Z")
# Asked for all the time, by machines and with each page.
_REGULAR = frozenset({"/healthz", "/readyz", "/metrics", "/static"})
CLIENT_WENT_AWAY = 499  # as proxies log it; nobody is answered with it


class Observer:
    """Sees requests come and go.

    Args:
        access_log: which of them are logged: `all`, those that tell something (`quiet`), or none (`off`).
        trusts: whether the `X-Request-Id` of this address is taken over, and the trace that it names.
        tracer: makes a span of each request; None for no traces.
    """

    def __init__(
        self, access_log: AccessLog, trusts: Callable[[str], bool], tracer: Tracer | None = None
    ) -> None:
        self._tracer = tracer
        self._access_log = access_log
        self._trusts = trusts
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def _comes_from_proxy(self, scope: Scope) -> bool:
        """Whether a trusted proxy sent this. To be asked before anyone believes what it says of the client."""
        client = scope.get("client")
        return client is not None and self._trusts(client[0])

    def _request_id_for(self, scope: Scope) -> str:
        """The id that a trusted proxy gave the request, if it is one; else a new one."""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                if _WELL_FORMED.match(value) and self._comes_from_proxy(scope):
                    given: str = value.decode("ascii")
                    return given
                break
        return mint_id("")

    def span_of(self, seen: Seen, scope: Scope) -> RequestSpan | None:
        """The span of a request that begins; calls of `/mcp` pay for it only where there are any."""
        if self._tracer is None:
            return None
        return RequestSpan(self._tracer, seen, scope, trusted=self._comes_from_proxy(scope))

    def begin(self, scope: Scope, protected: str | None) -> "Observed":
        """A request came; `protected` is the path of the protected resource that it is for, if it is for one."""
        method = scope["method"]
        seen = Seen(self._request_id_for(scope), method if method in _METHODS else "other")
        if protected is not None:
            seen.endpoint, seen.protected = protected, True
        scope[SEEN] = seen
        return Observed(self, scope, seen)

    def _count(self, seen: Seen) -> None:
        key = (seen.method, seen.endpoint, seen.status)
        if (counter := self._counters.get(key)) is None:
            # Looked up once: each call of /mcp would pay for it.
            counter = self._counters[key] = metrics.requests.labels(*key)
        counter.inc()
        if seen.waited is not None:
            if (timer := self._timers.get(seen.endpoint)) is None:
                timer = self._timers[seen.endpoint] = metrics.request_seconds.labels(seen.endpoint)
            timer.observe(seen.waited)

    def ended(self, seen: Seen, scope: Scope, seconds: float) -> None:
        """A request was answered to its end, or its client went away."""
        self._count(seen)
        if self._access_log == "off" or (self._access_log == "quiet" and _is_regular(seen)):
            return
        client = scope.get("client")
        log.log(
            logging.WARNING if seen.status >= 500 else logging.INFO,
            "request",
            extra={
                "method": seen.method,
                "endpoint": seen.endpoint,
                "status": seen.status,
                "ms": round(seconds * 1000, 1),
                "client": client[0] if client else "unknown",
            },
        )


class Observed:
    """One request while it is served, for the `with` block around that."""

    __slots__ = ("_began", "_observer", "_scope", "_span", "_tokens", "seen")

    def __init__(self, observer: Observer, scope: Scope, seen: Seen) -> None:
        self._observer = observer
        self._scope = scope
        self.seen = seen

    def __enter__(self) -> "Observed":
        self._span = self._observer.span_of(self.seen, self._scope)
        self._tokens = structlog.contextvars.bind_contextvars(request_id=self.seen.request_id)
        self._began = perf_counter()
        return self

    def answered(self, message: Message) -> None:
        """The answer begins."""
        self.seen.status = message["status"]
        self.seen.waited = perf_counter() - self._began

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        seen = self.seen
        if not seen.status:
            seen.status = 500 if isinstance(error, Exception) else CLIENT_WENT_AWAY
        self._observer.ended(seen, self._scope, perf_counter() - self._began)
        structlog.contextvars.reset_contextvars(**self._tokens)
        if self._span is not None:
            self._span.end(seen, self._scope)


def _is_regular(seen: Seen) -> bool:
    """Whether nobody misses the line: what is called, is counted and on record elsewhere."""
    return seen.status < 400 and (seen.protected or seen.endpoint in _REGULAR)
