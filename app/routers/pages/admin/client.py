"""One client: what it says about itself, what it was allowed, how its tokens stand, and what happened to it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.audit import list_events
from app.authorization_server import store
from app.authorization_server.client_facts import MOST_COUNTED, token_state
from app.authorization_server.grant_search import GrantSearch, search_grants
from app.authorization_server.records import Client
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import bad_address, nothing_there, page_context
from app.routers.pages.admin.clients import ONE, PATH, client_page, hosts_of
from app.routers.pages.admin.grant_rows import grant_rows
from app.routers.pages.admin.queries import (
    from_micros,
    is_storable,
    read_place,
    read_query,
    to_micros,
    write_place,
)
from app.routers.pages.admin.timeline import steps_of
from app.routers.pages.guards import Person, ViewerDep
from app.routers.pages.lists import Column, Pages, link
from app.routers.pages.render import render_page
from app.routers.pages.words import number

router = APIRouter()
GRANTS_SHOWN = 20
EVENTS_SHOWN = 40
# Never shown, not even as hashes.
_SECRET = {"secret_hash", "registration_token_hash"}
_DERIVED = {"search_text", "sort_name"}
_KNOWN = {"id": None, "reference": None, "after": None}


@router.get("/clients/client")
async def show_client(http: Request, tx: TransactionDep, person: ViewerDep) -> Response:
    """One client; `reference` marks an event of its timeline. Of one that is gone, what is on record."""
    query = read_query(http, _KNOWN)
    client_id = query.get("id", "")
    timeline = await _timeline(tx, person, client_id, query)
    client = await store.find_client(tx, client_id)
    if client is None:
        if not timeline["steps"]:
            raise nothing_there("There is no client with this id.")
        gone = {**page_context(person, "clients"), "client_id": client_id, "list": PATH, **timeline}
        return render_page(http, "admin_client_gone.html", gone)
    now = person.origin.now
    grants = await search_grants(tx, GrantSearch(client_id=client.client_id), now, GRANTS_SHOWN + 1)
    state = await token_state(tx, client.client_id, now)
    context = {
        **page_context(person, "clients"),
        "client": client,
        "hosts": hosts_of(client),
        "raw": _raw(client),
        "grants": await grant_rows(tx, person, grants[:GRANTS_SHOWN]),
        "grant_columns": [Column(label) for label in ("Person", "May do", "State", "Allowed", "Last token")],
        "more_grants": link(person.services.address.path("/admin/grants"), {"client": client.client_id})
        if len(grants) > GRANTS_SHOWN
        else None,
        "state": {name: _counted(value) for name, value in asdict(state).items()},
        "list": PATH,
        "action": lambda name: f"{PATH}/{name}",
        "alike": link(person.services.address.path(PATH), {"alike": client.fingerprint or client.client_id}),
        **timeline,
    }
    return render_page(http, "admin_client.html", context, script=True)


async def find_client_or_refuse(tx: TransactionDep, client_id: str) -> Client:
    """The client with this id, which comes from an address or a form.

    Raises:
        PageError: 404.
    """
    client = await store.find_client(tx, client_id) if is_storable(client_id) else None
    if client is None:
        raise nothing_there("There is no client with this id, or no longer.")
    return client


async def _timeline(
    tx: TransactionDep, person: Person, client_id: str, query: Mapping[str, str]
) -> Mapping[str, Any]:
    place = read_place(query, "after", int)
    before = None
    if place is not None:
        if not (place[1].isascii() and place[1].isdecimal() and len(place[1]) < 19):
            raise bad_address("The address does not say where in the timeline it begins.")
        before = (from_micros(place[0]), int(place[1]))
    events = await list_events(tx, EVENTS_SHOWN + 1, client_id=client_id, before=before)
    shown = events[:EVENTS_SHOWN]
    older = newer = None
    if len(events) > EVENTS_SHOWN:
        last = shown[-1]
        older = link(
            person.services.address.path(ONE),
            {"id": client_id},
            after=write_place((to_micros(last.at), str(last.id))),
        )
    if before is not None:
        newer = client_page(person, client_id)
    return {
        "steps": await steps_of(tx, person, shown, query.get("reference")),
        "pages": Pages(len(shown), None, newer, older),
    }


def _raw(client: Client) -> str:
    """The registration as it is stored, without what is derived or secret."""
    values = {
        name: value
        for name, value in asdict(client).items()
        if name not in _SECRET | _DERIVED and value is not None
    }
    return json.dumps(values, indent=2, ensure_ascii=False, default=str)


def _counted(value: object) -> object:
    if not isinstance(value, int):
        return value
    return f"{number(MOST_COUNTED)}+" if value > MOST_COUNTED else number(value)
