"""A real PostgreSQL for the test session: the one of `TEST_DATABASE_URL`, else one that is started here."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from sqlalchemy.engine import URL, make_url

from tests.support.postmaster import Postmaster, PostmasterError, candidates, owner_of_processes

# Room for the path of the socket below it: the kernel takes 107 bytes in all.
LONGEST_FOLDER = 60


@dataclass
class PostgresServer:
    """A running server; `maintenance` is the database that statements about databases go to."""

    maintenance: URL
    postmaster: Postmaster | None = None
    _created: set[str] = field(default_factory=set)

    @property
    def dsn(self) -> str:
        """For asyncpg and psql: the maintenance database."""
        return self.maintenance.set(drivername="postgresql").render_as_string(hide_password=False)

    def url(self, database: str) -> str:
        """For `DATABASE_URL`."""
        return self.maintenance.set(database=_named(database)).render_as_string(hide_password=False)

    def create_database(self, name: str, template: str | None = None) -> None:
        """A fresh database, or a copy of one that nobody is connected to."""
        self.execute(
            f'CREATE DATABASE "{_named(name)}"' + (f' TEMPLATE "{_named(template)}"' if template else "")
        )
        self._created.add(name)

    def drop_database(self, name: str) -> None:
        """Remove it if it is there, whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{_named(name)}" WITH (FORCE)')
        self._created.discard(name)

    def execute(self, statement: str) -> None:
        """Run one statement on the maintenance database; also where an event loop is already running."""

        async def run() -> None:
            connection = await asyncpg.connect(self.dsn)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, run()).result()

    def stop(self) -> None:
        """Shut down as an operator would, breaking connections; `start` brings it back at its address."""
        self._own().stop()

    def start(self) -> None:
        """Start again after `stop`, with the same data."""
        self._own().start()

    def drop_created(self) -> None:
        """Leave a server that is not ours as it was found."""
        for name in sorted(self._created):
            self.drop_database(name)

    def _own(self) -> Postmaster:
        if self.postmaster is None:
            raise PostmasterError("The server of TEST_DATABASE_URL is not ours to stop or start.")
        return self.postmaster


def _named(database: str) -> str:
    """Workers side by side share the server of `TEST_DATABASE_URL`: each has its own names there."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return f"{worker}_{database}" if worker else database


@contextmanager
def running_postgres(durable: bool = False) -> Iterator[PostgresServer]:
    """A server for the time of the `with` block; `durable` keeps the safety of writes, for benchmarks."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        server = PostgresServer(make_url(given).set(drivername="postgresql+asyncpg"))
        try:
            yield server
        finally:
            server.drop_created()
        return
    with _folder() as folder:
        postmaster = _first_that_starts(folder, durable)
        try:
            yield PostgresServer(
                URL.create(
                    "postgresql+asyncpg",
                    username="postgres",
                    host="127.0.0.1",
                    port=postmaster.port,
                    database="postgres",
                ),
                postmaster,
            )
        finally:
            postmaster.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    """A short-lived folder that the server's processes can reach, and that nobody else can read."""
    usual = tempfile.gettempdir()
    parent = usual if len(usual) <= LONGEST_FOLDER else "/tmp"  # noqa: S108 (mkdtemp makes the name unguessable)
    with tempfile.TemporaryDirectory(
        prefix="ostiary-postgres-", dir=parent, ignore_cleanup_errors=True
    ) as name:
        owner = owner_of_processes()
        if owner is not None:
            os.chown(name, owner.pw_uid, owner.pw_gid)
        yield Path(name)


def _first_that_starts(folder: Path, durable: bool) -> Postmaster:
    """Where one set of binaries does not work here, the next may."""
    refusals = []
    for number, binaries in enumerate(candidates()):
        postmaster = Postmaster(binaries, folder / str(number), durable)
        try:
            postmaster.initialise()
            postmaster.start()
        except (PostmasterError, OSError) as refusal:
            refusals.append(f"{binaries}: {refusal}")
        else:
            return postmaster
    tried = "\n".join(refusals) or "no binaries were found"
    raise PostmasterError(
        "PostgreSQL could not be started: install the test extras on Python 3.11 to 3.13, or PostgreSQL "
        f"itself (Debian, Ubuntu: apt-get install postgresql), or set TEST_DATABASE_URL.\n{tried}"
    )
