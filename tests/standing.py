"""A server that stands through a whole file of tests, for what must not change anything anyway.

A plugin, not a helper: a file asks for it with `pytest_plugins = ["tests.standing"]`.
"""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.front_channel import Standing
from tests.support.databases import Databases
from tests.support.world import running_world


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def standing_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database for the whole file: once of each kind."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("standing") / "test.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite+aiosqlite:///{path}"
        return
    databases: Databases = request.getfixturevalue("postgres_databases")
    with databases.lend() as url:
        yield url


@pytest.fixture(scope="module")
async def standing(standing_url: str) -> AsyncIterator[Standing]:
    """The server with the settings of `make run`, and one person, alice."""
    async with running_world(standing_url) as world:
        await world.create_user("alice")
        yield Standing(world, await world.signed_in_browser())
