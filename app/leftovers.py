"""Rows that time has overtaken, and how they go: few at once, so that nobody waits for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.database import Transaction


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Which rows of a table serve nobody any more at an instant, and how many of them go in one transaction."""

    table: sa.Table
    which: Callable[[datetime], sa.ColumnElement[bool]]
    at_once: int = 1000

    async def remove(self, tx: Transaction, now: datetime) -> int:
        """Delete one batch; returns how many there were. Rows that someone else holds are left for the next time."""
        key = sa.tuple_(*self.table.primary_key.columns)
        picked = (
            sa.select(*self.table.primary_key.columns)
            .where(self.which(now))
            .limit(self.at_once)
            .with_for_update(skip_locked=True)
        )
        keys = [tuple(row) for row in await tx.execute(picked)]
        if keys:
            await tx.execute(sa.delete(self.table).where(key.in_(keys)))
        return len(keys)
