"""Every test that asks for `world` runs twice: on SQLite and on PostgreSQL, each time on an empty database."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from app import migrations
from tests.support.databases import Databases
from tests.support.internet import Internet, running_internet
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.troubled_server import TroubledServer, certified, running_troubled
from tests.support.world import World, running_world


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Asked only where tests run side by side; another `--dist` than that of `make test` keeps its meaning."""
    if config.getoption("dist") != "loadfile":
        return None
    from tests.support.workers import Workers

    return Workers(config, log)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of the server itself."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started for this run and removed afterwards."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[PostgresServer]:
    """A server that may be stopped: never the one that `TEST_DATABASE_URL` names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        with running_postgres() as server:
            yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, copied for each test."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrations.migrate(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_databases(postgres: PostgresServer) -> Iterator[Databases]:
    """Migrated PostgreSQL databases, lent to one test or file at a time."""
    postgres.create_database("ostiary_template")
    migrations.migrate(postgres.url("ostiary_template"))
    with start_blocking_portal() as portal:
        databases = Databases(postgres, "ostiary_template", portal)
        yield databases
        databases.close()


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An empty, migrated SQLite database."""
    shutil.copy(sqlite_template, tmp_path / "test.db")
    return f"sqlite+aiosqlite:///{tmp_path}/test.db"


@pytest.fixture
def postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """An empty, migrated PostgreSQL database."""
    with postgres_databases.lend() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty, migrated database: once of each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
async def make_world(database_url: str) -> AsyncIterator[Callable[..., Any]]:
    """Start a server with other settings: `world = await make_world(public_url="https://…")`."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> World:
            return await stack.enter_async_context(running_world(database_url, **changes))

        yield make


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A server with the settings of `make run`, and one person, alice."""
    async with running_world(database_url) as running:
        await running.create_user("alice")
        yield running


@pytest.fixture
async def internet() -> AsyncIterator[Internet]:
    """A little internet with a good metadata document at `URL`."""
    async with running_internet() as running:
        yield running


@pytest.fixture(scope="module")
def troubled_listening() -> Iterator[TroubledServer]:
    """The same port and certificate for a whole file."""
    with running_troubled(certified("mcp.example")) as server:
        yield server


@pytest.fixture
def troubled(troubled_listening: TroubledServer) -> TroubledServer:
    """An MCP server that is well, until a test breaks it."""
    vars(troubled_listening).update(vars(TroubledServer(port=troubled_listening.port)))
    return troubled_listening
