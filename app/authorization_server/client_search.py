"""The operator's list of clients: searched, sorted and filtered, with those that registered the same as one row.

The list is read page by page from a place in it, never by counting rows off, and nothing counts the whole of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa

from app.authorization_server.client_tables import clients
from app.authorization_server.records import Client
from app.authorization_server.tables import grants
from app.database import Transaction, UTCDateTime

Sort = Literal["registered", "used", "name"]
Place = tuple[int | str, str]
_SORT_LETTERS = 80
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Search:
    """What to list; None and False ask for nothing.

    Args:
        words: part of a name, an id or a host of a redirect URI.
        registration: `dynamic`, `document` or `manual`.
        used, disabled, approved, live: whether it was ever allowed anything, is disabled, is approved, or holds a
            grant that still counts.
        alike: the registrations behind one row, each as a row of its own.
        after, before: the place in the list where the page begins, or ends.
    """

    words: str | None = None
    registration: str | None = None
    used: bool | None = None
    disabled: bool = False
    approved: bool = False
    live: bool = False
    alike: str | None = None
    sort: Sort = "registered"
    descending: bool = True
    after: Place | None = None
    before: Place | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A row: the newest of clients that registered the same, how many there are, and when one was last used."""

    client: Client
    registrations: int
    last_used_at: datetime | None
    place: Place


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the list, and whether there is more at either end."""

    rows: Sequence[Found]
    more_before: bool
    more_after: bool


def search_text(name: str | None, client_id: str, redirect_uris: Sequence[str]) -> str:
    """What operators sort and search a client by: its name, its id, and the hosts of its redirect URIs."""
    hosts = sorted({_host(uri) for uri in redirect_uris})
    return "\n".join([name or client_id, client_id, *hosts]).lower()


async def search_clients(tx: Transaction, search: Search, now: datetime, limit: int) -> Listed:
    """One page; see `Search`."""
    conditions = _conditions(search, now)
    key = clients.c.fingerprint if search.alike is None else clients.c.client_id
    rows = list(await tx.execute(_groups(search, conditions, key, limit + 1)))
    more = len(rows) > limit
    backwards = search.before is not None
    rows = rows[:limit][::-1] if backwards else rows[:limit]
    newest = await _newest(tx, key, [row.key for row in rows], conditions)
    found = [
        Found(
            client=newest[row.key],
            registrations=row.registrations,
            last_used_at=row.used_at,
            place=(_to_place(row.value), row.key),
        )
        for row in rows
        # Removed in this very moment.
        if row.key in newest
    ]
    if backwards:
        return Listed(found, more_before=more, more_after=True)
    return Listed(found, more_before=search.after is not None, more_after=more)


def _groups(
    search: Search, conditions: Sequence[sa.ColumnElement[bool]], key: sa.Column[Any], limit: int
) -> sa.Select[Any]:
    value: sa.ColumnElement[Any]
    if search.sort == "registered":
        value = sa.func.max(clients.c.created_at)
    elif search.sort == "used":
        value = sa.func.coalesce(sa.func.max(clients.c.last_used_at), sa.literal(_NEVER, UTCDateTime()))
    else:
        value = sa.func.min(sa.func.substr(clients.c.search_text, 1, _SORT_LETTERS))
    statement = (
        sa.select(
            key.label("key"),
            value.label("value"),
            sa.func.count().label("registrations"),
            sa.func.max(clients.c.last_used_at).label("used_at"),
        )
        .where(*conditions)
        .group_by(key)
    )
    descending = search.descending != (search.before is not None)
    place = search.after or search.before
    if place is not None:
        here = sa.literal(_from_place(place[0]), value.type)
        beyond, next_key = (value < here, key < place[1]) if descending else (value > here, key > place[1])
        statement = statement.having(beyond | ((value == here) & next_key))
    order = (value.desc(), key.desc()) if descending else (value.asc(), key.asc())
    return statement.order_by(*order).limit(limit)


async def _newest(
    tx: Transaction, key: sa.Column[Any], keys: Sequence[str], conditions: Sequence[sa.ColumnElement[bool]]
) -> dict[str, Client]:
    """The newest client of each group, as the conditions see it."""
    if not keys:
        return {}
    each = sa.values(sa.column("key", sa.Text), name="each").data([(one,) for one in keys]).cte("each")
    newest = (
        sa.select(clients.c.client_id)
        .where(key == each.c.key, *conditions)
        .order_by(clients.c.created_at.desc(), clients.c.client_id)
        .limit(1)
        .correlate(each)
        .scalar_subquery()
    )
    statement = sa.select(each.c.key, *clients.c).join_from(each, clients, clients.c.client_id == newest)
    found = [dict(row._mapping) for row in await tx.execute(statement)]
    return {values.pop("key"): Client(**values) for values in found}


def _conditions(search: Search, now: datetime) -> Sequence[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if search.words:
        conditions.append(clients.c.search_text.contains(search.words.lower(), autoescape=True))
    if search.registration is not None:
        conditions.append(clients.c.registration == search.registration)
    if search.used is not None:
        unused = clients.c.last_used_at.is_(None)
        conditions.append(~unused if search.used else unused)
    if search.disabled:
        conditions.append(clients.c.disabled_at.is_not(None))
    if search.approved:
        conditions.append(clients.c.approved_at.is_not(None))
    if search.live:
        # A list, not a question for each client: there are as many of those as there are clients.
        holding = sa.select(grants.c.client_id).where(
            grants.c.revoked_at.is_(None), grants.c.expires_at > now
        )
        conditions.append(clients.c.client_id.in_(holding))
    if search.alike is not None:
        conditions.append(clients.c.fingerprint == search.alike)
    return conditions


def _to_place(value: datetime | str) -> int | str:
    return (value - _NEVER) // _MICROSECOND if isinstance(value, datetime) else value


def _from_place(value: int | str) -> datetime | str:
    return _NEVER + value * _MICROSECOND if isinstance(value, int) else value


def _host(uri: str) -> str:
    """The host, and the scheme where that is what tells an app apart."""
    parts = urlsplit(uri)
    return parts.netloc if parts.scheme in {"http", "https"} else f"{parts.scheme}://{parts.netloc}"
