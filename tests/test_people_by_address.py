"""Who is looked for by an address is found without reading everyone."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.accounts import store
from app.accounts.records import User
from app.database import Transaction
from tests.support.world import World


@contextmanager
def statements(tx: Transaction) -> Iterator[list[tuple[str, Any]]]:
    """What a transaction asks the database meanwhile."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    connection = tx.connection.sync_connection
    sa.event.listen(connection, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(connection, "before_cursor_execute", note)


@pytest.mark.parametrize("find", [store.find_users_reached_by, store.find_users_by_email])
async def test_an_address_is_looked_up_in_an_index(
    world: World, find: Callable[[Transaction, str], Awaitable[Sequence[User]]]
) -> None:
    async with world.database.transaction() as tx:
        on_postgresql = tx.connection.dialect.name == "postgresql"
        if on_postgresql:
            # Of so few people it would read all.
            await tx.execute(sa.text("SET LOCAL enable_seqscan = off"))
        with statements(tx) as asked:
            await find(tx, "Alice@Example.com")
        ((statement, parameters),) = asked
        explain = "EXPLAIN" if on_postgresql else "EXPLAIN QUERY PLAN"
        plan = (await tx.connection.exec_driver_sql(f"{explain} {statement}", parameters)).all()
    told = " ".join(str(row) for row in plan)
    assert "ix_users_email" in told
    assert "Seq Scan" not in told
    assert "SCAN users" not in told
