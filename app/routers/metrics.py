"""Counters for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, generate_latest

registry = CollectorRegistry()
refusals = Counter("ostiary_refusals", "Requests that were refused", ["endpoint", "error"], registry=registry)


def count_refusal(endpoint: str, error: str) -> None:
    """Count a refusal; both labels come from fixed sets, never from the request."""
    refusals.labels(endpoint, error).inc()


def exposition() -> bytes:
    """Everything in Prometheus's text format."""
    return generate_latest(registry)
