"""The list of clients: searched, sorted, filtered; registrations that say the same stand as one."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.audit import find_referenced
from app.authorization_server.client_search import (
    MOST_COUNTED,
    Found,
    Listed,
    Search,
    Sort,
    search_clients,
)
from app.authorization_server.records import Client
from app.oauth.credentials import read_reference
from app.oauth.uris import redirect_target
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import back_to, page_context
from app.routers.pages.admin.queries import PAGE, read_place, read_query, write_place
from app.routers.pages.guards import Person, ViewerDep
from app.routers.pages.lists import Choice, Column, Pages, fresh_link, link, sortable
from app.routers.pages.question import verified_host
from app.routers.pages.render import render_page
from app.routers.pages.words import number

router = APIRouter()
PATH = "/admin/clients"
ONE = f"{PATH}/client"
_SORTS: Mapping[str, Sort] = {"registered": "registered", "used": "used", "name": "name"}
_CAME = ("dynamic", "document", "manual")
_STATES = ("used", "never", "live", "disabled", "approved")
_KNOWN = {
    "q": None,
    "sort": [*_SORTS, *(f"-{name}" for name in _SORTS)],
    "came": _CAME,
    "state": _STATES,
    "alike": None,
    "after": None,
}
_CAME_WORDS = {
    "dynamic": "registered itself",
    "document": "described by a document",
    "manual": "made by hand",
}
_STATE_WORDS = {
    "used": "used",
    "never": "never used",
    "live": "connected now",
    "disabled": "disabled",
    "approved": "approved",
}


@router.get("/clients")
async def show_clients(http: Request, tx: TransactionDep, person: ViewerDep) -> Response:
    """A page of the list; whatever the address asks for that there is not, is refused."""
    query = read_query(http, _KNOWN)
    if (referenced := await _find_referenced(tx, query.get("q", "").strip())) is not None:
        event, client_id = referenced
        address = link(ONE, {"id": client_id, "reference": event})
        return back_to(person, address)
    search = _search(query)
    listed = await search_clients(tx, search, person.origin.now, PAGE)
    path = person.services.address.path(PATH)
    columns_query = {"sort": "-registered", **query}
    context = {
        **page_context(person, "clients"),
        "query": {name: query.get(name, "") for name in _KNOWN},
        "columns": [
            sortable("Client", "name", path, columns_query),
            Column("Host"),
            Column("Came"),
            sortable("Registered", "registered", path, columns_query),
            sortable("Last used", "used", path, columns_query),
            Column("State"),
        ],
        "rows": [_row(found, person, one_by_one="alike" in query) for found in listed.rows],
        "came": _choices(path, query, "came", _CAME_WORDS),
        "states": _choices(path, query, "state", _STATE_WORDS),
        "pages": _pages(path, query, listed),
        "everything": path,
    }
    return render_page(http, "admin_clients.html", context)


async def _find_referenced(tx: TransactionDep, words: str) -> tuple[str, str] | None:
    """The reference that these words are, and the client that somebody had trouble with."""
    reference = read_reference(words)
    event = await find_referenced(tx, reference) if reference is not None else None
    return (event.reference, event.client_id) if event and event.reference and event.client_id else None


def _search(query: Mapping[str, str]) -> Search:
    sort = query.get("sort", "-registered")
    name = _SORTS[sort.removeprefix("-")]
    kind = str if name == "name" and "alike" not in query else int
    state = query.get("state")
    return Search(
        words=query.get("q", "").strip(),
        registration=query.get("came"),
        used={"used": True, "never": False}.get(state or ""),
        disabled=state == "disabled",
        approved=state == "approved",
        live=state == "live",
        alike=query.get("alike"),
        sort=name,
        descending=sort.startswith("-"),
        after=read_place(query, "after", kind),
    )


def _row(found: Found, person: Person, *, one_by_one: bool) -> Mapping[str, Any]:
    client = found.client
    path = person.services.address.path
    alike = link(path(PATH), {"alike": client.fingerprint or client.client_id})
    one = client_page(person, client.client_id)
    return {
        "client": client,
        "url": alike if found.registrations > 1 and not one_by_one else one,
        "registrations": found.registrations,
        "alike": _alike(found.registrations),
        "last_used_at": found.last_used_at,
        "came": _CAME_WORDS.get(client.registration, client.registration),
        **hosts_of(client),
    }


def _alike(registrations: int) -> str:
    """How many, where that was counted to the end."""
    return f"{number(MOST_COUNTED)}+" if registrations > MOST_COUNTED else number(registrations)


def client_page(person: Person, client_id: str) -> str:
    """The address of one client's page; its id may be an address itself."""
    return link(person.services.address.path(ONE), {"id": client_id})


def hosts_of(client: Client) -> Mapping[str, Any]:
    """The host that is known for sure, and those that answers are sent to."""
    return {
        "verified": verified_host(client),
        "hosts": sorted({redirect_target(uri).label for uri in client.redirect_uris}),
    }


def _choices(path: str, query: Mapping[str, str], name: str, words: Mapping[str, str]) -> list[Choice]:
    current = query.get(name)
    each = [
        Choice(label, fresh_link(path, query, **{name: value}), current == value)
        for value, label in words.items()
    ]
    return [Choice("all", fresh_link(path, query, **{name: None}), current is None), *each]


def _pages(path: str, query: Mapping[str, str], listed: Listed) -> Pages:
    """Onward from place to place; back goes the browser, or all the way to the beginning."""
    onward = link(path, query, after=write_place(listed.onward)) if listed.onward else None
    return Pages(len(listed.rows), None, fresh_link(path, query) if "after" in query else None, onward)
