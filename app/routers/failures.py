"""Every refusal and failure is counted, and told to the operator's hook."""

import asyncio

from app.hooks import ErrorChanges, Failure, Hooks
from app.routers.metrics import count_refusal
from app.tallies import Tallies


class Reporter:
    """Counts failures and tells them to `on_error`."""

    def __init__(self, hooks: Hooks, tallies: Tallies) -> None:
        self._hooks = hooks
        self._tallies = tallies
        self._told: set[asyncio.Task[ErrorChanges]] = set()

    def count(self, endpoint: str, error: str, reason: str | None = None) -> None:
        """Count a refusal; what names it comes from fixed sets, never from the request."""
        count_refusal(endpoint, error, reason)
        self._tallies.count("refusal", f"{endpoint}: {reason or error}")

    async def report(self, failure: Failure) -> ErrorChanges:
        """Count and tell a failure; returns what the hook wants to be said instead."""
        self.count(failure.endpoint, failure.error, failure.reason)
        return await self._hooks.error(failure)

    def refused(self, endpoint: str, status: int, error: str) -> None:
        """Count a refusal at a protected resource. The hook is told beside it: a caller doesn't wait for that."""
        self.count(endpoint, error)
        if self._hooks.on_error is not None:
            failure = Failure(endpoint, status, error, "")
            task = asyncio.create_task(self._hooks.error(failure))
            self._told.add(task)
            task.add_done_callback(self._told.discard)
