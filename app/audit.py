"""The record of who did what to what, from where and with which outcome: one row an event, never a secret."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from app.database import Transaction, UTCDateTime, metadata


@dataclass(frozen=True, slots=True)
class Origin:
    """When a request came, from which network address (`cli` for a command), and which operator acts, if one does."""

    now: datetime
    source: str
    actor_id: str | None = None


audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column(
        "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, comment="Running number"
    ),
    sa.Column("at", UTCDateTime, nullable=False, comment="When it happened"),
    sa.Column("event", sa.Text, nullable=False, comment="What happened, for example client.registered"),
    sa.Column("outcome", sa.Text, nullable=False, comment="ok, or the error code of the refusal"),
    sa.Column("reason", sa.Text, comment="Why it was refused, finer than the answer tells"),
    sa.Column("actor_id", sa.Text, comment="Who did it, where that is someone else: user id of an operator"),
    sa.Column("user_id", sa.Text, comment="The person concerned; kept when the user is deleted"),
    sa.Column("client_id", sa.Text, comment="The client concerned; kept when the client is deleted"),
    sa.Column("grant_id", sa.Text, comment="The grant concerned"),
    sa.Column("source", sa.Text, comment="Network address that the request came from, or cli"),
    sa.Column("reference", sa.Text, comment="The reference that the person was shown"),
    comment="Append-only record of what happened and what was refused",
)
sa.Index("ix_audit_events_at", audit_events.c.at)
sa.Index("ix_audit_events_client_id_at", audit_events.c.client_id, audit_events.c.at)
sa.Index("ix_audit_events_user_id_at", audit_events.c.user_id, audit_events.c.at)
sa.Index("ix_audit_events_grant_id", audit_events.c.grant_id)
sa.Index("ix_audit_events_reference", audit_events.c.reference)
sa.Index("ix_audit_events_event_at", audit_events.c.event, audit_events.c.at)
sa.Index("ix_audit_events_source_at", audit_events.c.source, audit_events.c.at)
sa.Index(
    "ix_audit_events_actor_id_at",
    audit_events.c.actor_id,
    audit_events.c.at,
    postgresql_where=audit_events.c.actor_id.is_not(None),
    sqlite_where=audit_events.c.actor_id.is_not(None),
)
_LAST_DAY = datetime(9999, 12, 31, tzinfo=UTC)
# Refusals are few, and asked for most. A literal, not a parameter: only so does a database see that the index serves.
REFUSED = audit_events.c.outcome != sa.literal_column("'ok'")
sa.Index("ix_audit_events_refused", audit_events.c.at, postgresql_where=REFUSED, sqlite_where=REFUSED)


async def record(
    transaction: Transaction,
    event: str,
    origin: Origin,
    *,
    outcome: str = "ok",
    reason: str | None = None,
    user_id: str | None = None,
    client_id: str | None = None,
    grant_id: str | None = None,
    reference: str | None = None,
) -> None:
    """Write one event into the transaction that does what it tells."""
    await transaction.execute(
        audit_events.insert(),
        {
            "at": origin.now,
            "event": event,
            "outcome": outcome,
            "reason": reason,
            "actor_id": origin.actor_id,
            "user_id": user_id,
            "client_id": client_id,
            "grant_id": grant_id,
            "source": origin.source,
            "reference": reference,
        },
    )


async def count_events(
    transaction: Transaction, event: str, since: datetime, *, user_id: str | None = None
) -> int:
    """How often something happened after an instant, at all or to one person."""
    condition = [audit_events.c.at > since, audit_events.c.event == event]
    if user_id is not None:
        condition.append(audit_events.c.user_id == user_id)
    statement = sa.select(sa.func.count()).select_from(audit_events).where(*condition)
    return int((await transaction.execute(statement)).scalar_one())


async def record_grants_revoked(
    transaction: Transaction,
    origin: Origin,
    because: str,
    revoked: Sequence[tuple[str, str | None, str]],
) -> None:
    """One event for each revoked grant (its id, person and client), in one statement: a client may have many."""
    names = ("grant_id", "user_id", "client_id")
    rows = [dict(zip(names, each, strict=True)) for each in revoked]
    await _record_many(transaction, "grant.revoked", origin, because, rows)


async def record_clients_deleted(
    transaction: Transaction, origin: Origin, because: str, client_ids: Sequence[str]
) -> None:
    """One event for each client that was removed, in one statement."""
    await _record_many(
        transaction, "client.deleted", origin, because, [{"client_id": id_} for id_ in client_ids]
    )


async def _record_many(
    transaction: Transaction,
    event: str,
    origin: Origin,
    because: str,
    rows: Sequence[Mapping[str, str | None]],
) -> None:
    shared = {
        "at": origin.now,
        "event": event,
        "outcome": "ok",
        "reason": because,
        "actor_id": origin.actor_id,
        "source": origin.source,
    }
    if rows:
        await transaction.execute(audit_events.insert(), [{**shared, **row} for row in rows])


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of the record; the fields are the columns."""

    id: int
    at: datetime
    event: str
    outcome: str
    reason: str | None
    actor_id: str | None
    user_id: str | None
    client_id: str | None
    grant_id: str | None
    source: str | None
    reference: str | None

    @property
    def refused(self) -> bool:
        """Whether what was asked was not done."""
        return self.outcome != "ok"


async def list_events(
    transaction: Transaction,
    limit: int,
    *,
    client_id: str | None = None,
    user_id: str | None = None,
    events: Collection[str] | None = None,
    before: tuple[datetime, int] | None = None,
) -> Sequence[AuditEvent]:
    """What happened with a client or to a person, the latest first; `before` is the time and number of an event.

    `events` are the names of those that are asked for; all, where it is missing.
    """
    table = audit_events.c
    statement = sa.select(audit_events).order_by(table.at.desc(), table.id.desc()).limit(limit)
    if client_id is not None:
        statement = statement.where(table.client_id == client_id)
    if user_id is not None:
        statement = statement.where(table.user_id == user_id)
    if events is not None:
        statement = statement.where(table.event.in_(events))
    if before is not None:
        here = sa.tuple_(sa.literal(before[0], UTCDateTime()), sa.literal(before[1]))
        statement = statement.where(sa.tuple_(table.at, table.id) < here)
    return [AuditEvent(**row._mapping) for row in await transaction.execute(statement)]


async def find_referenced(transaction: Transaction, reference: str) -> AuditEvent | None:
    """The event that somebody was given this reference for; of several the latest that names a client."""
    table = audit_events.c
    statement = sa.select(audit_events).where(table.reference == reference)
    names_client = sa.case((table.client_id.is_not(None), 0), else_=1)
    row = (
        await transaction.execute(statement.order_by(names_client, table.at.desc(), table.id.desc()).limit(1))
    ).one_or_none()
    return AuditEvent(**row._mapping) if row else None


def after_day(day: datetime | None) -> datetime | None:
    """When a day that begins at this instant is over, for `Wanted.until`; None for no day, and the calendar's last."""
    return day + timedelta(days=1) if day is not None and day < _LAST_DAY else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: those that fulfil everything that is set. A person is found as the one concerned and as the
    operator who acted; `until` is left out itself.
    """

    refused: bool | None = None
    event: str | None = None
    person: str | None = None
    client_id: str | None = None
    grant_id: str | None = None
    source: str | None = None
    reference: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def search_events(
    transaction: Transaction, wanted: Wanted, limit: int, before: tuple[datetime, int] | None = None
) -> Sequence[AuditEvent]:
    """Events, the newest first.

    Args:
        before: the time and number of an event; those that come after it in this order follow.
    """
    c = audit_events.c
    statement = sa.select(audit_events).order_by(c.at.desc(), c.id.desc()).limit(limit)
    if wanted.refused:
        # Where something rarer is asked for besides, said so that the index of all refusals is not read to its end.
        rare = (wanted.person, wanted.client_id, wanted.grant_id, wanted.source, wanted.reference)
        statement = statement.where(REFUSED if not any(rare) else sa.func.coalesce(c.outcome, "") != "ok")
    elif wanted.refused is not None:
        statement = statement.where(c.outcome == "ok")
    for column in (c.event, c.client_id, c.grant_id, c.source, c.reference):
        if (value := getattr(wanted, column.name)) is not None:
            statement = statement.where(column == value)
    if wanted.person is not None:
        statement = statement.where(sa.or_(c.user_id == wanted.person, c.actor_id == wanted.person))
    if wanted.since is not None:
        statement = statement.where(c.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(c.at < wanted.until)
    if before is not None:
        at, number = sa.literal(before[0], UTCDateTime), sa.literal(before[1])
        statement = statement.where(sa.tuple_(c.at, c.id) < sa.tuple_(at, number))
    return [AuditEvent(**row._mapping) for row in await transaction.execute(statement)]
