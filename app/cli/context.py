"""What commands work with: settings, database, clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from app.accounts.passwords import Passwords
from app.audit import Origin
from app.cli.output import refuse
from app.clock import SystemClock
from app.database import Database, DatabaseUnavailable, Transaction
from app.oauth.credentials import Keys
from app.settings import InvalidSettings, Settings, load_settings, sqlite_path

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Command:
    """One command's surroundings."""

    settings: Settings
    database: Database
    keys: Keys
    passwords: Passwords

    def origin(self) -> Origin:
        """Now, from the command line."""
        return Origin(SystemClock().now(), "cli")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction that may write."""
        async with self.database.transaction() as tx:
            yield tx


def settings_or_refuse() -> Settings:
    """The settings, or exit with a sentence for each that is wrong."""
    try:
        return load_settings()
    except InvalidSettings as error:
        refuse(str(error))


def run(action: Callable[[Command], Awaitable[T]]) -> T:
    """Run a command against the configured database, and refuse in one sentence when that is not there."""
    settings = settings_or_refuse()
    path = sqlite_path(settings.database_url)
    if path is not None and not path.exists():
        refuse(f"The database {path} does not exist: run `ostiary migrate` first.")

    async def body() -> T:
        database = Database(settings.database_url, 2)
        passwords = Passwords()
        try:
            keys = Keys(settings.secret_key, settings.secret_key_previous)
            return await action(Command(settings, database, keys, passwords))
        finally:
            passwords.close()
            await database.close()

    try:
        return asyncio.run(body())
    except DatabaseUnavailable:
        refuse(
            "The database is too busy or can't be reached; is DATABASE_URL right, and is it running? Try again."
        )
    except (OperationalError, ProgrammingError):
        refuse("The database has no tables, or old ones: run `ostiary migrate` first.")
    except (DBAPIError, UnicodeError):
        refuse("The database does not take these values; are there unreadable characters in them?")
