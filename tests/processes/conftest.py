"""Two real server processes on one PostgreSQL, and what talks to them."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.processes import flow
from tests.support.postgres import PostgresServer
from tests.support.process import ServerProcess, running_pair

Pair = tuple[ServerProcess, ServerProcess]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def empty_database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, which the servers of a module migrate and share."""
    name = f"processes_{next(_numbers)}"
    postgres.create_database(name)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def untouched_database(postgres: PostgresServer) -> Iterator[str]:
    """The same for one test alone."""
    name = f"processes_{next(_numbers)}"
    postgres.create_database(name)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def pair(empty_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two replicas."""
    with running_pair(tmp_path_factory.mktemp("pair"), empty_database) as servers:
        yield servers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a server or a command of one test runs."""
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """A machine with an address of its own."""
    async with flow.connections() as client:
        yield client


@pytest.fixture
async def browser(pair: Pair) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser in which the person of the pair is signed in."""
    async with flow.new_browser() as client:
        answer = await flow.sign_in(client, pair[0])
        assert answer.status_code == 303, answer.text
        yield client
