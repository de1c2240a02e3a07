"""Two replicas behind a real nginx, on a PostgreSQL that a test may stop."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.proxies import Behind, running_behind
from tests.support.postgres import PostgresServer

RunningBehind = Callable[..., AbstractContextManager[Behind]]
_numbers = itertools.count()


@pytest.fixture
def two(own_postgres: PostgresServer, tmp_path: Path) -> RunningBehind:
    """Start two replicas on an empty database of their own, with these settings."""

    @contextmanager
    def start(database: str | None = None, **how: Any) -> Iterator[Behind]:
        name = database or f"faults_{next(_numbers)}"
        if database is None:
            own_postgres.create_database(name)
        try:
            settings = {"REGISTRATIONS_PER_MINUTE": "100000", **how.pop("settings", {})}
            with running_behind("nginx", tmp_path, own_postgres.url(name), how, **settings) as behind:
                yield behind
        finally:
            # A test that failed may have left it stopped.
            own_postgres.stop()
            own_postgres.start()
            own_postgres.drop_database(name)

    return start
