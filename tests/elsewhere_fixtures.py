"""A server elsewhere for a test or for a whole file; a plugin, as `tests.standing` is."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.elsewhere import (
    Elsewhere,
    Home,
    running_home,
)
from tests.support.dpop import Prover

DOCUMENT = "/.well-known/oauth-protected-resource/mcp"
ISSUER = "http://localhost:8000"
ours = Prover()


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Elsewhere]:
    """Both servers, anew for each test."""
    async with running_home(database_url) as home, home.elsewhere() as running:
        yield running


@pytest.fixture(scope="module")
async def home(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """The first server, for what the second one does by itself, whatever database the first one has."""
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("home") / "test.db")
    async with running_home(f"sqlite+aiosqlite:///{path}") as running:
        await running.world.create_user("bob")
        yield running


@pytest.fixture
async def one(home: Home) -> AsyncIterator[Elsewhere]:
    """A second server that knows nothing yet."""
    async with home.elsewhere() as running:
        yield running
