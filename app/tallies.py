"""How often something happened, by the hour: what the operator's charts are drawn from.

A count costs a look-up in a dictionary; what was counted is written every few seconds. A process that is killed loses
as much, on which nothing depends.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.clock import Clock
from app.database import Database, DatabaseUnavailable, Transaction, UTCDateTime, metadata, step_of
from app.written_later import WrittenLater

Kind = Literal["call", "refusal", "token", "registration"]

tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("hour", UTCDateTime, primary_key=True, comment="Beginning of the hour"),
    sa.Column(
        "kind", sa.Text, primary_key=True, comment="What is counted: call, refusal, token or registration"
    ),
    sa.Column(
        "label",
        sa.Text,
        primary_key=True,
        comment="Which: a resource, an endpoint with a reason, a grant type",
    ),
    sa.Column("count", sa.BigInteger, nullable=False, comment="How often"),
    comment="Counts by the hour, for the charts of the operator's pages",
)

MOST_KEPT = 5_000
_LONGEST_LABEL = 100
_AT_ONCE = 500
OTHER = "other"

_Key = tuple[datetime, Kind, str]


class Tallies(WrittenLater):
    """What this process counted and has not written yet."""

    what = "counts"

    def __init__(
        self,
        database: Database,
        clock: Clock,
        counted: Callable[[Kind, str], None] = lambda _kind, _label: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._counted = counted
        self._counts: dict[_Key, int] = {}

    def count(self, kind: Kind, label: str) -> None:
        """Count one more. Labels come from fixed sets; should there be very many, the rest is counted together."""
        self._counted(kind, label)
        hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
        self._add((hour, kind, label[:_LONGEST_LABEL]), 1)

    @property
    def waiting(self) -> int:
        """Of how many hours and things."""
        return len(self._counts)

    async def write(self) -> None:
        """Write what waits, in the order of the keys, so that no two processes wait for one another."""
        counts, self._counts = self._counts, {}
        rows = sorted(counts.items())
        while rows:
            batch, rows = rows[:_AT_ONCE], rows[_AT_ONCE:]
            try:
                async with self._database.transaction() as tx:
                    await _add_counts(tx, batch)
            except BaseException as error:
                for key, times in (*batch, *rows):
                    self._add(key, times)
                if isinstance(error, DatabaseUnavailable):
                    return
                raise

    def _add(self, key: _Key, times: int) -> None:
        if key not in self._counts and len(self._counts) >= MOST_KEPT:
            hour, kind, _ = key
            key = (hour, kind, OTHER)
        self._counts[key] = self._counts.get(key, 0) + times


async def _add_counts(tx: Transaction, batch: Sequence[tuple[_Key, int]]) -> None:
    is_postgresql = tx.connection.dialect.name == "postgresql"
    insert = (postgresql if is_postgresql else sqlite).insert(tallies)
    more = insert.on_conflict_do_update(
        index_elements=["hour", "kind", "label"],
        set_={"count": tallies.c.count + insert.excluded["count"]},
    )
    rows = [
        {"hour": hour, "kind": kind, "label": label, "count": times} for (hour, kind, label), times in batch
    ]
    await tx.execute(more.values(rows))


async def count_over_time(
    tx: Transaction, since: datetime, step: timedelta, steps: int
) -> Mapping[tuple[str, str], Sequence[int]]:
    """How often what was counted in each step of time from a full hour on, by kind and label."""
    counts: dict[tuple[str, str], list[int]] = {}
    slot = step_of(tx, tallies.c.hour, since, step).label("slot")
    statement = (
        sa.select(slot, tallies.c.kind, tallies.c.label, sa.func.sum(tallies.c.count).label("times"))
        .where(tallies.c.hour >= since, tallies.c.hour < since + step * steps)
        .group_by(slot, tallies.c.kind, tallies.c.label)
    )
    for row in await tx.execute(statement):
        counts.setdefault((row.kind, row.label), [0] * steps)[int(row.slot)] += int(row.times)
    return counts
