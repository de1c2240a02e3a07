"""How the parts of this process are at the moment, for Prometheus."""

import asyncio
import logging
import platform
from dataclasses import dataclass
from typing import Protocol

from app import __version__
from app.resource_server.revocations import Revocations
from app.routers import metrics
from app.routers.services import Services
from app.written_later import WrittenLater

log = logging.getLogger(__name__)
_LOOK_EVERY = 5.0  # seconds, for the scrapes that other workers answer


class Running(Protocol):
    """What counts the requests that it serves."""

    running: int


@dataclass(frozen=True, slots=True)
class Gauges:
    """Looks at this process."""

    services: Services
    revocations: Revocations
    books: tuple[WrittenLater, ...]
    application: Running

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        metrics.build.labels(__version__, platform.python_version()).set(1)
        while True:
            try:
                self.look()
            except Exception:
                # Whatever it was, the next look may see something.
                log.exception("The gauges can't be read")
            await asyncio.sleep(_LOOK_EVERY)

    def look(self) -> None:
        """Tell how everything is now."""
        services = self.services
        metrics.requests_running.set(self.application.running)
        metrics.passwords_waiting.set(services.passwords.waiting)
        in_use, most = services.database.count_connections()
        metrics.connections.set(in_use)
        metrics.most_connections.set(most)
        if (known_at := self.revocations.known_at) is not None:
            metrics.revocations_read.set(known_at.timestamp())
        metrics.key_since.set(services.signing_keys.newest_since.timestamp())
        for book in self.books:
            metrics.writes_waiting.labels(book.what).set(book.waiting)
