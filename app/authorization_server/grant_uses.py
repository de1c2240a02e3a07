"""When and from where grants are used, as the processes that guard a resource tell it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.audit import Origin, record
from app.authorization_server.tables import grants
from app.database import Transaction


@dataclass(frozen=True, slots=True)
class Use:
    """Calls with the tokens of one grant: the first and the last of them, and where the last came from."""

    grant_id: str
    first_at: datetime
    last_at: datetime
    source: str


async def write_uses(tx: Transaction, uses: Collection[Use]) -> Sequence[str]:
    """Note uses at their grants; returns the ids of those that could be written.

    Never waits for another transaction, so it makes none wait in a circle: a grant that somebody else holds at this
    moment is left out, as is one that is gone. Replicas never step back: only what is later counts.
    """
    by_id = {use.grant_id: use for use in uses}
    statement = (
        sa.select(grants.c.id, grants.c.first_used_at, grants.c.last_used_at)
        .add_columns(grants.c.user_id, grants.c.client_id, grants.c.reference)
        .where(grants.c.id.in_(by_id))
        .with_for_update(key_share=True, skip_locked=True)
    )
    held = list(await tx.execute(statement))
    for row in held:
        use = by_id[row.id]
        if row.first_used_at is None and await _begin(tx, use):
            await record(
                tx,
                "grant.first_used",
                Origin(use.first_at, use.source),
                user_id=row.user_id,
                client_id=row.client_id,
                grant_id=row.id,
                reference=row.reference,
            )
    later = [
        {"grant": row.id, "at": by_id[row.id].last_at, "source": by_id[row.id].source}
        for row in held
        if row.last_used_at is None or row.last_used_at < by_id[row.id].last_at
    ]
    if later:
        change = (
            sa.update(grants)
            .where(grants.c.id == sa.bindparam("grant"))
            .values(last_used_at=sa.bindparam("at"), last_used_from=sa.bindparam("source"))
        )
        await tx.execute(change, later)
    return [row.id for row in held]


async def _begin(tx: Transaction, use: Use) -> bool:
    """Note the first use; False when someone was faster."""
    statement = (
        sa.update(grants)
        .where(grants.c.id == use.grant_id, grants.c.first_used_at.is_(None))
        .values(first_used_at=use.first_at)
        .returning(grants.c.id)
    )
    return (await tx.execute(statement)).one_or_none() is not None
