"""Where the two roles of one process meet: the resource server reads the authorization server's revocations."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from app.authorization_server import grant_store
from app.clock import Clock
from app.database import Database, DatabaseUnavailable
from app.resource_server.revocations import Revocation, RevocationsUnknown

_CLOCKS_DIFFER = timedelta(minutes=5)


class DatabaseRevocations:
    """The `revocations` table as a `RevocationSource`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def after(self, number: int | None) -> Sequence[Revocation]:
        """See `RevocationSource.after`."""
        try:
            async with self._database.reading() as tx:
                if number is None:
                    rows = await grant_store.list_revocations(
                        tx, kept_after=self._clock.now() - _CLOCKS_DIFFER
                    )
                else:
                    rows = await grant_store.list_revocations(tx, after=number)
                return [Revocation(*row) for row in rows]
        except DatabaseUnavailable as error:
            raise RevocationsUnknown from error

    async def any_revoked(self, subjects: Collection[str]) -> bool:
        """See `RevocationSource.any_revoked`."""
        try:
            async with self._database.reading() as tx:
                return await grant_store.is_revoked(tx, subjects)
        except DatabaseUnavailable as error:
            raise RevocationsUnknown from error
