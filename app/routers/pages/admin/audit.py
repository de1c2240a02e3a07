"""What happened: searched page by page, and handed out as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from app.accounts import store as accounts
from app.audit import AuditEvent, Wanted, after_day, record, search_events
from app.authorization_server import store as clients
from app.database import Transaction
from app.routers.dependencies import ServicesDep, TransactionDep
from app.routers.middleware import asks_for_headers_only
from app.routers.pages.admin.answers import bad_address, page_context
from app.routers.pages.admin.clients import client_page
from app.routers.pages.admin.event_files import FORMATS, event_file
from app.routers.pages.admin.queries import PAGE, read_place, read_query, write_place
from app.routers.pages.guards import Person, ViewerDep
from app.routers.pages.lists import Choice, Column, Pages, fresh_link, link
from app.routers.pages.render import render_page

router = APIRouter()
PATH = "/admin/audit"
_OUTCOMES = {"ok": "done", "refused": "refused"}
_TEXTS = ("event", "person", "client", "grant", "source", "reference", "since", "until")
_KNOWN = {"outcome": tuple(_OUTCOMES), "after": None, "format": FORMATS, **dict.fromkeys(_TEXTS)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Names:
    """What people and clients are called, by their ids; those that are gone are missing."""

    people: Mapping[str, str]
    clients: Mapping[str, str]


@router.get("/audit")
async def show_audit(http: Request, tx: TransactionDep, person: ViewerDep) -> Response:
    """A page of what happened, the latest first."""
    query = read_query(http, _KNOWN)
    events = await search_events(tx, await _wanted(tx, query), PAGE + 1, _place(query))
    shown = events[:PAGE]
    path = person.services.address.path(PATH)
    older = None
    if len(events) > PAGE:
        last = shown[-1]
        older = link(path, query, after=write_place(((last.at - _EPOCH) // _MICROSECOND, str(last.id))))
    names = Names(
        await accounts.list_usernames(tx, _people(shown)),
        await clients.list_client_names(tx, {event.client_id for event in shown if event.client_id}),
    )
    context = {
        **page_context(person, "audit"),
        "query": {name: query.get(name, "") for name in _KNOWN},
        "columns": [Column(label) for label in ("When", "What", "Person", "Client", "From", "Reference")],
        "rows": [_row(event, names, person) for event in shown],
        "outcomes": _choices(path, query),
        "pages": Pages(len(shown), None, fresh_link(path, query) if "after" in query else None, older),
        "files": [
            (name, fresh_link(person.services.address.path(f"{PATH}/file"), query, format=name))
            for name in FORMATS
        ],
        "everything": path,
    }
    return render_page(http, "admin_audit.html", context)


@router.get("/audit/file")
async def send_file(http: Request, tx: TransactionDep, services: ServicesDep, person: ViewerDep) -> Response:
    """What the page would show on all its pages, as one file; that somebody took it is on record."""
    query = read_query(http, _KNOWN)
    _place(query)  # where the page begins means nothing to a file, but what is no place is refused here too
    wanted = await _wanted(tx, query)
    kind = event_file(query.get("format", FORMATS[0]))
    handed_out = not asks_for_headers_only(http)
    if handed_out:
        await record(tx, "audit.exported", person.origin, reason=kind.name, user_id=person.id)
    name = f"ostiary-audit-{person.origin.now:%Y%m%d-%H%M%S}.{kind.name}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    lines = kind.lines(services.database, wanted) if handed_out else ()
    return StreamingResponse(lines, 200, headers, kind.media_type)


async def _wanted(tx: Transaction, query: Mapping[str, str]) -> Wanted:
    """What the address asks for. A person is named by user name or id, also one who was deleted.

    Raises:
        PageError: 400.
    """
    name = query.get("person")
    user = await accounts.find_user_by_username(tx, name) if name else None
    outcome = query.get("outcome")
    return Wanted(
        refused={"refused": True, "ok": False}.get(outcome or ""),
        event=query.get("event"),
        person=user.id if user else name,
        client_id=query.get("client"),
        grant_id=query.get("grant"),
        source=query.get("source"),
        reference=query["reference"].strip().upper() if "reference" in query else None,
        since=_day(query, "since"),
        # The day that is named is still meant.
        until=after_day(_day(query, "until")),
    )


def _day(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        return datetime.strptime(query[name], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise bad_address(f"The address holds a {name} that is no day, such as 2026-11-23.") from None


def _place(query: Mapping[str, str]) -> tuple[datetime, int] | None:
    place = read_place(query, "after", int)
    if place is None:
        return None
    at, number = place
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise bad_address("The address does not say where in the list it begins.")
    return _EPOCH + _MICROSECOND * int(at), int(number)


def _people(events: Sequence[AuditEvent]) -> set[str]:
    return {who for event in events for who in (event.user_id, event.actor_id) if who is not None}


def _row(event: AuditEvent, names: Names, person: Person) -> Mapping[str, Any]:
    path = person.services.address.path(PATH)
    client_id = event.client_id or ""
    return {
        "event": event,
        "same": link(path, {"event": event.event}),
        "who": names.people.get(event.user_id or "", event.user_id),
        "by": names.people.get(event.actor_id or "", event.actor_id),
        "person_url": link(path, {"person": event.user_id}) if event.user_id else None,
        "client_name": names.clients.get(client_id, client_id),
        "client_url": client_page(person, client_id) if client_id in names.clients else None,
    }


def _choices(path: str, query: Mapping[str, str]) -> list[Choice]:
    current = query.get("outcome")
    each = [
        Choice(label, fresh_link(path, query, outcome=value), current == value)
        for value, label in _OUTCOMES.items()
    ]
    return [Choice("all", fresh_link(path, query, outcome=None), current is None), *each]
