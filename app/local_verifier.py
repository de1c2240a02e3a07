"""Where the two roles of one process meet: what the resource server reads of the authorization server's tables, and
the used proofs that both remember in one of them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.authorization_server import grant_store
from app.authorization_server.props import open_props
from app.authorization_server.replay import PROOFS, spend_identifier
from app.clock import Clock
from app.database import Database, DatabaseUnavailable, undisturbed
from app.hooks import ForeignCaller, Hooks
from app.oauth.credentials import Keys
from app.oauth.errors import TemporarilyUnavailable
from app.oauth.scopes import Scope, implied
from app.resource_server.foreign import FindForeign
from app.resource_server.possession import ReplaysUnknown
from app.resource_server.principal import Principal, User
from app.resource_server.revocations import Revocation, RevocationsUnknown
from app.resource_server.verifier import FindProps

_CLOCKS_DIFFER = timedelta(minutes=5)


class DatabaseReplays:
    """The `used_identifiers` table as a `ReplayGuard`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spend(self, _key: str, identifier: str, expires_at: datetime) -> bool:
        """See `ReplayGuard.spend`."""
        try:
            async with self._database.transaction() as tx:
                return await spend_identifier(tx, PROOFS, identifier, expires_at)
        except DatabaseUnavailable as error:
            raise ReplaysUnknown from error


class DatabaseRevocations:
    """The `revocations` table as a `RevocationSource`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def after(self, number: int | None) -> Sequence[Revocation]:
        """See `RevocationSource.after`."""
        try:
            return await undisturbed(self._after(number))
        except DatabaseUnavailable as error:
            raise RevocationsUnknown from error

    async def _after(self, number: int | None) -> Sequence[Revocation]:
        async with self._database.reading() as tx:
            if number is None:
                rows = await grant_store.list_revocations(tx, kept_after=self._clock.now() - _CLOCKS_DIFFER)
            else:
                rows = await grant_store.list_revocations(tx, after=number)
            return [Revocation(*row) for row in rows]

    async def any_revoked(self, subjects: Collection[str]) -> bool:
        """See `RevocationSource.any_revoked`."""
        try:
            async with self._database.reading() as tx:
                return await grant_store.is_revoked(tx, subjects)
        except DatabaseUnavailable as error:
            raise RevocationsUnknown from error


def find_props(database: Database, keys: Keys) -> FindProps:
    """The `props` of a grant, opened."""

    async def find(grant_id: str) -> Mapping[str, Any]:
        try:
            async with database.reading() as tx:
                grant = await grant_store.find_grant(tx, grant_id)
        except DatabaseUnavailable as error:
            raise RevocationsUnknown from error
        return open_props(keys, grant.props_sealed if grant else None)

    return find


def find_foreign(hooks: Hooks, resource: str, issuer: str, catalogue: tuple[Scope, ...]) -> FindForeign:
    """The callers that the operator's `on_bearer` knows."""

    async def find(token: str) -> Principal | None:
        try:
            caller = await hooks.bearer(token, resource, issuer)
        except TemporarilyUnavailable as error:
            raise RevocationsUnknown from error
        return _principal(caller, catalogue) if caller is not None else None

    return find


def _principal(caller: ForeignCaller, catalogue: tuple[Scope, ...]) -> Principal:
    return Principal(
        user=User(caller.subject, caller.username, caller.name, caller.email),
        client_id=caller.client_id,
        client_name=None,
        scopes=frozenset(caller.scopes),
        grant_id=None,
        token_id=caller.token_id,
        issuer=caller.issuer,
        expires_at=caller.expires_at,
        implied=implied(caller.scopes, catalogue) - frozenset(caller.scopes),
        props=caller.props,
    )
