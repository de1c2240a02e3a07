"""PostgreSQL databases that tests borrow: migrated and empty, and only few of them are ever made.

Making one costs the server 200 ms and emptying one costs it 2, so they are handed on. A database that was not left
as it was found (another schema, a connection that still works) is thrown away.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import asyncpg
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import make_url

import app.main  # noqa: F401 - with it every table is known
from app.database import metadata
from tests.support.postgres import PostgresServer

# What was deleted stays in the files, and slows down who reads them.
MOST_LOANS = 100

# What every change of the schema touches, and the schema's version.
SCHEMA = """
SELECT (SELECT string_agg(version_num, ' ') FROM alembic_version),
       (SELECT sum(xmin::text::numeric * oid::bigint) FROM pg_class),
       (SELECT sum(xmin::text::numeric * attrelid::bigint) FROM pg_attribute),
       (SELECT sum(xmin::text::numeric * oid::bigint) FROM pg_constraint),
       (SELECT sum(xmin::text::numeric * oid::bigint) FROM pg_trigger)
"""
SEND_AWAY = """
SELECT state, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
RESTART_SEQUENCES = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"


@dataclass
class _Loan:
    """A database, the connection that empties it, and its schema as it was made."""

    name: str
    connection: asyncpg.Connection
    schema: asyncpg.Record
    times: int = 1


class Databases:
    """Lends copies of `template`.

    Args:
        portal: a thread with an event loop of its own, which the connections live in.
    """

    def __init__(self, server: PostgresServer, template: str, portal: BlockingPortal) -> None:
        self._server = server
        self._template = template
        self._portal = portal
        self._made = 0
        self._returned: list[_Loan] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The URL of a database that is nobody else's until the end of the `with` block."""
        loan = self._lend_again() or self._make()
        try:
            yield self._server.url(loan.name)
        finally:
            self._returned.append(loan)

    def close(self) -> None:
        """Remove them all."""
        while self._returned:
            self._drop(self._returned.pop())

    def _lend_again(self) -> _Loan | None:
        while self._returned:
            loan = self._returned.pop()
            if loan.times < MOST_LOANS and self._portal.call(_emptied, loan):
                loan.times += 1
                return loan
            self._drop(loan)
        return None

    def _make(self) -> _Loan:
        self._made += 1
        name = f"test_{self._made}"
        self._server.create_database(name, template=self._template)
        url = make_url(self._server.url(name)).set(drivername="postgresql")
        connection = self._portal.call(asyncpg.connect, url.render_as_string(hide_password=False))
        return _Loan(name, connection, self._portal.call(connection.fetchrow, SCHEMA))

    def _drop(self, loan: _Loan) -> None:
        self._portal.call(loan.connection.terminate)
        self._server.drop_database(loan.name)


async def _emptied(loan: _Loan) -> bool:
    """Whether it is as it was made: everybody gone, the schema untouched, every row deleted."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        others = await loan.connection.fetch(SEND_AWAY)
        if any(other["state"] != "idle" for other in others):
            return False
        if await loan.connection.fetchrow(SCHEMA) != loan.schema:
            return False
        deletions = [f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables)]  # noqa: S608
        await loan.connection.execute("; ".join([*deletions, RESTART_SEQUENCES]))
        return True
    return False
