"""The operator's list of clients: searched, sorted and filtered, with those that registered the same as one row.

The list is walked along an index from a place in it: a page costs what it shows, however many clients there are.
Registrations that say the same stand where the first of them stands. Where a walk meets thousands that were shown
already, the page ends early, and the next one goes on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa

from app.authorization_server.client_tables import clients
from app.authorization_server.records import Client
from app.authorization_server.tables import grants
from app.database import Transaction

Sort = Literal["registered", "used", "name"]
Place = tuple[int | str, str]
_SORT_LETTERS = 80
_AT_ONCE = 300
_MOST_WALKED = 6000
# Counted up to here: more is only said to be more.
MOST_COUNTED = 1000
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
        after: the place in the list behind which the page begins.
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


@dataclass(frozen=True, slots=True)
class Found:
    """A row: a client, how many registered the same (at most `MOST_COUNTED` + 1), and when one was last used."""

    client: Client
    registrations: int
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the list, and the place behind which the next one begins; None at the end."""

    rows: Sequence[Found]
    onward: Place | None


@dataclass(frozen=True, slots=True)
class _Order:
    """Along which columns the list is walked; the second one decides between equals."""

    value: sa.Column[Any]
    key: sa.Column[Any]
    descending: bool

    def columns(self) -> Sequence[sa.ColumnElement[Any]]:
        return [one.desc() if self.descending else one.asc() for one in (self.value, self.key)]

    def behind(self, place: Place) -> sa.ColumnElement[bool]:
        """Whether a row comes after a place."""
        here, at = sa.tuple_(self.value, self.key), self._literal(place)
        return here < at if self.descending else here > at

    def up_to(self, place: Place) -> sa.ColumnElement[bool]:
        """Whether a row was walked over before a place, or stands there."""
        here, at = sa.tuple_(self.value, self.key), self._literal(place)
        return here >= at if self.descending else here <= at

    def _literal(self, place: Place) -> sa.Tuple:
        return sa.tuple_(sa.literal(_from_place(place[0]), self.value.type), sa.literal(place[1], sa.Text))


def search_text(name: str | None, client_id: str, redirect_uris: Sequence[str]) -> str:
    """What operators sort and search a client by: its name, its id, and the hosts of its redirect URIs."""
    hosts = sorted({_host(uri) for uri in redirect_uris})
    return "\n".join([name or client_id, client_id, *hosts]).lower()


def sort_name(name: str | None, client_id: str) -> str:
    """What operators sort a client by."""
    return (name or client_id).lower()[:_SORT_LETTERS]


async def search_clients(tx: Transaction, search: Search, now: datetime, limit: int) -> Listed:
    """One page; see `Search`."""
    order, conditions = _order(search), _conditions(search, now)
    folds = search.alike is None
    seen: dict[str, str] = {}
    place = last = search.after
    walked = 0
    while True:
        rows = await _walk(tx, order, conditions, place)
        walked += len(rows)
        new: dict[str, Any] = {}
        for row in rows:
            new.setdefault(row.fingerprint if folds else row.client_id, row)
        known = seen.keys() | await _shown_before(tx, order, conditions, search, list(new))
        for key, row in new.items():
            if key in known:
                continue
            if len(seen) == limit:
                return Listed(await _read(tx, seen), last)
            seen[key] = row.client_id
            last = (_to_place(row.value), row.key)
        if len(rows) < _AT_ONCE:
            return Listed(await _read(tx, seen), None)
        place = last = (_to_place(rows[-1].value), rows[-1].key)
        if walked >= _MOST_WALKED:
            return Listed(await _read(tx, seen), place)


def _order(search: Search) -> _Order:
    if _is_by_use(search):
        return _Order(clients.c.last_used_at, clients.c.client_id, search.descending)
    if search.sort == "name" and search.alike is None:
        # Registrations that say the same have one name, so they stand together and are passed over at once.
        return _Order(clients.c.sort_name, clients.c.fingerprint, search.descending)
    return _Order(clients.c.created_at, clients.c.client_id, search.descending)


def _is_by_use(search: Search) -> bool:
    """What was never used has no place in that order."""
    return search.sort == "used" and search.used is not False


async def _walk(
    tx: Transaction, order: _Order, conditions: Sequence[sa.ColumnElement[bool]], place: Place | None
) -> Sequence[sa.Row[Any]]:
    statement = sa.select(
        clients.c.client_id, clients.c.fingerprint, order.value.label("value"), order.key.label("key")
    ).where(*conditions)
    if place is not None:
        statement = statement.where(order.behind(place))
    return list(await tx.execute(statement.order_by(*order.columns()).limit(_AT_ONCE)))


async def _shown_before(
    tx: Transaction,
    order: _Order,
    conditions: Sequence[sa.ColumnElement[bool]],
    search: Search,
    fingerprints: Sequence[str],
) -> set[str]:
    """Those of which an earlier page showed one."""
    if (
        search.after is None
        or search.alike is not None
        or order.key is clients.c.fingerprint
        or not fingerprints
    ):
        return set()
    each = _listed(fingerprints)
    # A question for each, which ends at the first answer: joined, the whole table would be read.
    earlier = (
        sa.select(sa.literal(1))
        .select_from(clients)
        .where(clients.c.fingerprint == each.c.key, order.up_to(search.after), *conditions)
        .limit(1)
        .correlate(each)
        .scalar_subquery()
    )
    return set((await tx.execute(sa.select(each.c.key).where(earlier.is_not(None)))).scalars())


async def _read(tx: Transaction, seen: Mapping[str, str]) -> Sequence[Found]:
    """The clients of a page in its order, with what there is to say of those alike."""
    if not seen:
        return []
    each = _listed(list(seen.values()))
    alike = clients.alias()
    same = alike.c.fingerprint == clients.c.fingerprint
    some = (
        sa.select(sa.literal(1))
        .select_from(alike)
        .where(same)
        .limit(MOST_COUNTED + 1)
        .correlate(clients)
        .subquery()
    )
    used = alike.c.last_used_at
    latest = sa.select(used).where(same, used.is_not(None)).order_by(used.desc()).limit(1).correlate(clients)
    statement = sa.select(
        *clients.c,
        sa.select(sa.func.count()).select_from(some).scalar_subquery().label("registrations"),
        latest.scalar_subquery().label("used_at"),
    ).join_from(each, clients, clients.c.client_id == each.c.key)
    found = {}
    for row in await tx.execute(statement):
        values = dict(row._mapping)
        registrations, used_at = values.pop("registrations"), values.pop("used_at")
        found[values["client_id"]] = Found(Client(**values), registrations, used_at)
    # What was removed in this very moment is left out.
    return [found[client_id] for client_id in seen.values() if client_id in found]


def _listed(keys: Sequence[str]) -> sa.CTE:
    return sa.values(sa.column("key", sa.Text), name="each").data([(key,) for key in keys]).cte("each")


def _conditions(search: Search, now: datetime) -> Sequence[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if search.words:
        conditions.append(clients.c.search_text.contains(search.words.lower(), autoescape=True))
    if search.registration is not None:
        conditions.append(clients.c.registration == search.registration)
    if search.used is not None:
        unused = clients.c.last_used_at.is_(None)
        conditions.append(~unused if search.used else unused)
    elif _is_by_use(search):
        conditions.append(clients.c.last_used_at.is_not(None))
    if search.disabled:
        conditions.append(clients.c.disabled_at.is_not(None))
    if search.approved:
        conditions.append(clients.c.approved_at.is_not(None))
    if search.live:
        holds = sa.and_(
            grants.c.client_id == clients.c.client_id,
            grants.c.revoked_at.is_(None),
            grants.c.expires_at > now,
        )
        conditions.append(sa.select(sa.literal(1)).where(holds).limit(1).scalar_subquery().is_not(None))
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
