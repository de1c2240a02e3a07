"""Where the two roles of one process meet: the resource server reads the authorization server's revocations."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from app.authorization_server import grant_store
from app.clock import Clock
from app.database import Database, DatabaseUnavailable
from app.resource_server.revocations import RevocationsUnknown


class DatabaseRevocations:
    """The `revocations` table as a `RevocationSource`.

    Args:
        lifetime: longest life of an access token; older revocations hit nothing.
    """

    def __init__(self, database: Database, clock: Clock, lifetime: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._lifetime = lifetime

    async def since(self, instant: datetime | None) -> Sequence[tuple[str, datetime]]:
        """See `RevocationSource.since`."""
        start = instant or self._clock.now() - 2 * self._lifetime - timedelta(hours=1)
        try:
            async with self._database.reading() as tx:
                return await grant_store.list_revocations(tx, start)
        except DatabaseUnavailable as error:
            raise RevocationsUnknown from error

    async def any_revoked(self, subjects: Collection[str]) -> bool:
        """See `RevocationSource.any_revoked`."""
        try:
            async with self._database.reading() as tx:
                return await grant_store.is_revoked(tx, subjects)
        except DatabaseUnavailable as error:
            raise RevocationsUnknown from error
