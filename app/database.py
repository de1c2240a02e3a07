"""Engines for SQLite and PostgreSQL, the shared metadata, the UTC column type and the transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Result = TypeVar("_Result")

json_type = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """An instant: `timestamptz` on PostgreSQL, UTC text on SQLite; always aware in Python."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("instants carry a time zone")
        return (
            value.astimezone(UTC)
            if dialect.name == "postgresql"
            else value.astimezone(UTC).replace(tzinfo=None)
        )

    def process_result_value(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class DatabaseUnavailable(Exception):
    """The database can't be reached now; nothing is known and nothing was decided."""


class Transaction:
    """One open transaction: the connection, and what to do once it is committed."""

    def __init__(
        self, connection: AsyncConnection, listeners: dict[str, list[Callable[[Any], None]]]
    ) -> None:
        self.connection = connection
        self._listeners = listeners
        self._news: list[tuple[str, Any]] = []

    async def execute(self, statement: sa.Executable, parameters: Any = None) -> sa.CursorResult[Any]:
        """Run a statement."""
        return await self.connection.execute(statement, parameters)

    async def notify(self, channel: str, news: Any) -> None:
        """Tell the listeners of a channel once this is committed, and not otherwise.

        This process's listeners get the news itself before the transaction's caller goes on; on PostgreSQL every
        other process is woken, to read it from the tables.
        """
        self._news.append((channel, news))
        if self.connection.dialect.name == "postgresql":
            await self.connection.execute(sa.select(sa.func.pg_notify(channel, "")))

    async def lock(self, name: str) -> None:
        """Let one process at a time hold this name until the transaction ends.

        On SQLite every write transaction excludes the others already.
        """
        if self.connection.dialect.name == "postgresql":
            await self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(name))))

    async def try_lock(self, name: str) -> bool:
        """Take this name as `lock` does, but wait for nobody: False while another process holds it."""
        if self.connection.dialect.name != "postgresql":
            return True
        taken = sa.select(sa.func.pg_try_advisory_xact_lock(sa.func.hashtext(name)))
        return bool((await self.connection.execute(taken)).scalar())

    def committed(self) -> None:
        """Hand the news to this process's listeners; called once, by `Database.transaction`."""
        for channel, news in self._news:
            for listener in self._listeners.get(channel, ()):
                listener(news)


class Database:
    """The engine, and the two ways to use it.

    Args:
        url: `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`.
        pool_size: most connections of this process.
        missed: told of each transaction for which there was no connection, or none any more.
    """

    def __init__(self, url: str, pool_size: int = 10, missed: Callable[[], None] = lambda: None) -> None:
        self.url = url
        self._missed = missed
        self.is_sqlite = url.startswith("sqlite")
        self.listeners: dict[str, list[Callable[[Any], None]]] = {}
        options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 0, "pool_timeout": 5}
        # Parameters are hashes, names and addresses: they have no place in a log.
        options["hide_parameters"] = True
        if not self.is_sqlite:
            options["connect_args"] = {"timeout": 5, "command_timeout": 15}
        self.engine: AsyncEngine = create_async_engine(url, **options)
        if self.is_sqlite:
            _prepare_sqlite(self.engine)

    @asynccontextmanager
    async def transaction(self, commit_on: tuple[type[Exception], ...] = ()) -> AsyncIterator[Transaction]:
        """A transaction that may write.

        It commits at the end and when one of `commit_on` is raised (a protocol error is an answer, and what it
        recorded stays); everything else rolls back.

        Raises:
            DatabaseUnavailable: no connection, or it broke.
        """
        answer: Exception | None = None
        with _translated_errors(self._missed):
            async with self.engine.connect() as connection, connection.begin():
                transaction = Transaction(connection, self.listeners)
                try:
                    yield transaction
                except commit_on as error:
                    answer = error
            transaction.committed()
        if answer is not None:
            raise answer

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """A transaction that only reads: on SQLite it does not wait for writers.

        Raises:
            DatabaseUnavailable: no connection, or it broke.
        """
        with _translated_errors(self._missed):
            async with self.engine.connect() as connection:
                if self.is_sqlite:
                    await connection.execution_options(sqlite_begin="DEFERRED")
                yield Transaction(connection, self.listeners)

    def count_connections(self) -> tuple[int, int]:
        """How many of its connections this process uses at the moment, and how many it may."""
        pool: Any = self.engine.pool
        return pool.checkedout(), pool.size()

    def describe_connections(self) -> str:
        """The same in words."""
        in_use, most = self.count_connections()
        return f"{in_use} of {most} in use"

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def step_of(
    transaction: Transaction, column: sa.Column[datetime], since: datetime, step: timedelta
) -> sa.ColumnElement[int]:
    """In which step of time after an instant a row lies, the first being 0; both are whole seconds."""
    seconds: sa.ColumnElement[Any] = sa.extract("epoch", column)
    if transaction.connection.dialect.name == "postgresql":
        seconds = sa.func.floor(seconds)
    passed = sa.cast(seconds, sa.BigInteger) - int(since.timestamp())
    return passed // int(step.total_seconds())


async def undisturbed(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Do this to its end even when whoever waits is cancelled meanwhile, which comes through then.

    For tasks beside the requests: cancelled in the middle of a statement they would leave a broken connection behind.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at: whoever would have handled it has gone
        raise


class _translated_errors:  # noqa: N801 - a context manager that reads like a function
    """Turn what the drivers raise when the database is away into `DatabaseUnavailable`, and tell of it."""

    def __init__(self, missed: Callable[[], None]) -> None:
        self._missed = missed

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, exc.DBAPIError) and not _means_unavailable(error):
            return
        if isinstance(error, exc.DBAPIError | exc.TimeoutError | OSError):
            self._missed()
            raise DatabaseUnavailable(type(error).__name__) from error


def _means_unavailable(error: exc.DBAPIError) -> bool:
    # Classes 08, 53, 57: no connection, out of something, starting up or shutting down. Class 40: a deadlock or
    # a conflict that someone had to lose; the whole transaction is undone, and may be tried again. The same for
    # 23503: what it builds on, a client mostly, was removed in this very moment.
    state = str(getattr(error.orig, "sqlstate", "") or "")
    # SQLite: busy, locked, full, unreadable and the like have names of their own; this one is a wrong statement.
    name = getattr(error.orig, "sqlite_errorname", "")
    return (
        error.connection_invalidated
        or isinstance(error, exc.InterfaceError)
        or (isinstance(error, exc.OperationalError) and not state and name != "SQLITE_ERROR")
        or state[:2] in {"08", "40", "53", "57"}
        or state == "23503"
    )


def _prepare_sqlite(engine: AsyncEngine) -> None:
    """Write-ahead log, foreign keys, and transactions that begin where we say, not where the driver guesses."""

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: sa.Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another writer was faster, so
        # writers take the lock when they begin.
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")
