"""One server a database for the whole run; every test that asks for `server` runs against both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.server import Server, running_server
from interop.toolbox import Toolbox, open_toolbox
from tests.support.postgres import running_postgres

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def toolbox() -> Toolbox:
    """Node and the npm clients."""
    return open_toolbox()


@pytest.fixture(scope="session", params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server under test, on one database after the other."""
    folder = tmp_path_factory.mktemp(f"server-{request.param}")
    if request.param == "sqlite":
        with running_server(folder, request.param, f"sqlite+aiosqlite:///{folder / 'ostiary.db'}") as server:
            yield server
        return
    with running_postgres() as postgres:
        postgres.create_database("interop")
        with running_server(folder, request.param, postgres.url("interop")) as server:
            yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty `HOME` for a client: nothing that an earlier run stored."""
    return tmp_path / "home"
