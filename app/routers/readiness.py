"""Whether this process can serve: asked by proxies and orchestrators, and answered in time always."""

import asyncio
from typing import Protocol

from sqlalchemy.exc import DBAPIError

from app.database import DatabaseUnavailable
from app.migrations import current_revision, is_served
from app.resource_server.revocations import FRESH_FOR, Revocations, RevocationsUnknown
from app.routers.services import Services

READY = "ok"
_SECONDS = 1.5  # whoever asks waits two or three, and takes silence for death


class Stoppable(Protocol):
    """What knows that it is coming to its end."""

    stopping: bool


class Readiness:
    """Asks the parts of this process. Whoever asks meanwhile waits for the same answer: a hundred probes of a database
    that hangs take one connection, not a hundred.
    """

    def __init__(self, services: Services, revocations: Revocations, application: Stoppable) -> None:
        self._services = services
        self._revocations = revocations
        self._application = application
        self._asking: asyncio.Task[str] | None = None

    async def state(self) -> str:
        """`ok`, or why not."""
        if self._application.stopping:
            return "stopping"
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        answered, _ = await asyncio.wait([self._asking], timeout=_SECONDS)
        return self._asking.result() if answered else "database slow"

    async def close(self) -> None:
        """Wait for no answer any more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self) -> str:
        services = self._services
        try:
            async with services.database.reading() as tx:
                revision = await current_revision(tx)
        except DatabaseUnavailable:
            return "database unavailable"
        except DBAPIError:
            return "no schema"
        if not is_served(revision):
            return "migrations pending"
        if not services.signing_keys.verification:
            return "no signing keys"
        return READY if await self._knows_revocations() else "revocations unknown"

    async def _knows_revocations(self) -> bool:
        known_at = self._revocations.known_at
        if known_at is not None and self._services.clock.now() < known_at + FRESH_FOR:
            return True
        try:
            await self._revocations.poll()
        except RevocationsUnknown:
            return False
        return True
