"""What is counted and measured for Prometheus. Every label comes from a fixed set, never from a request.

With several worker processes (`WORKERS`) each writes its numbers into files that all of them can read, so a scrape
tells the same whichever of them answers it. Instants are told as such, not as ages: an age would be as old as the
last look at it.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from app.settings import shared_metrics

registry = CollectorRegistry()
_SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# Reasons have names of their own; should an operator's hook invent them, this many are told apart.
_MOST_REASONS = 300
_LONGEST = 60


def _counter(name: str, help_: str, *labels: str) -> Counter:
    return Counter(f"ostiary_{name}", help_, labels, registry=registry)


def _sum(name: str, help_: str, *labels: str) -> Gauge:
    """Something that the processes have together."""
    return Gauge(f"ostiary_{name}", help_, labels, registry=registry, multiprocess_mode="livesum")


def _oldest(name: str, help_: str) -> Gauge:
    """An instant, of the process that is furthest behind."""
    return Gauge(f"ostiary_{name}", help_, registry=registry, multiprocess_mode="livemin")


requests = _counter("requests", "Requests that were answered", "method", "endpoint", "status")
request_seconds = Histogram(
    "ostiary_request_seconds",
    "Time until the answer began",
    ["endpoint"],
    buckets=_SHORT,
    registry=registry,
)
requests_running = _sum("requests_running", "Requests that are being served, open streams among them")
refusals = _counter("refusals", "Requests that were refused", "endpoint", "error", "reason")
calls = _counter("calls", "Requests that were let through to a protected resource", "resource")
tokens = _counter("tokens", "Token responses", "grant_type")
registrations = _counter("registrations", "Clients that registered", "how")
sign_ins = _counter("sign_ins", "People who signed in", "methods")
password_seconds = Histogram(
    "ostiary_password_hash_seconds",
    "Time that hashing a password took, its turn not awaited",
    buckets=_SHORT,
    registry=registry,
)
passwords_waiting = _sum("password_hashes_waiting", "Passwords that are being hashed, or wait for their turn")
connections = _sum("database_connections", "Connections to the database that are in use")
most_connections = _sum("database_connections_limit", "Connections to the database that there may be")
connections_missed = _counter(
    "database_connections_missed", "Requests that waited for a connection in vain, or found no database"
)
revocations_read = _oldest(
    "revocations_read_timestamp_seconds",
    "When what is revoked was read last; older than 5 s, calls ask the database",
)
key_since = _oldest("signing_key_since_timestamp_seconds", "Since when the newest signing key signs, or will")
writes_waiting = _sum("writes_waiting", "Rows that are remembered and written in a moment", "what")
purged = _counter("purged_rows", "Rows that served nobody any more and were removed", "kind")
purged_at = Gauge(
    "ostiary_purge_timestamp_seconds",
    "When a purge of this process ended last, whichever way another one did",
    registry=registry,
    multiprocess_mode="max",
)
build = Gauge(
    "ostiary_build_info", "What runs", ["version", "python"], registry=registry, multiprocess_mode="max"
)
if not shared_metrics():
    # Of one process; the sum of several would need each to look at itself.
    ProcessCollector(registry=registry)

_counted = {"call": calls, "token": tokens, "registration": registrations}
_reasons: set[str] = set()


def count(kind: str, label: str) -> None:
    """Count one more of what is told by the hour as well; refusals have more labels, and a way of their own."""
    if (counter := _counted.get(kind)) is not None:
        counter.labels(label).inc()


def count_refusal(endpoint: str, error: str, reason: str | None = None) -> None:
    """Count a refusal; without a finer reason the error is the reason."""
    reason = (reason or error)[:_LONGEST]
    if reason not in _reasons:
        if len(_reasons) >= _MOST_REASONS:
            reason = "other"
        _reasons.add(reason)
    refusals.labels(endpoint, error, reason).inc()


def note_purge(removed: Mapping[str, int], at: float) -> None:
    """A round of the purge ended: how many rows of what kind it removed, and when in seconds since 1970."""
    for kind, rows in removed.items():
        purged.labels(kind).inc(rows)
    purged_at.set(at)


def exposition() -> bytes:
    """Everything in Prometheus's text format, of all worker processes together."""
    directory = shared_metrics()
    if not directory:
        return generate_latest(registry)
    _forget_ended(Path(directory))
    every_process = CollectorRegistry()
    MultiProcessCollector(every_process, directory)  # type: ignore[no-untyped-call]
    return generate_latest(every_process)


def _forget_ended(directory: Path) -> None:
    """Of a worker that ended its counts go on counting, but it has no connections in use and no requests any more."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        with suppress(PermissionError):  # the number belongs to another process now, of somebody else
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]
