"""The list of grants, and taking one back."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts import store as accounts
from app.authorization_server import grant_store, revocation
from app.authorization_server.grant_search import GrantSearch, ListedGrant, search_grants
from app.restore import end_before
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import back_to, nothing_there, page_context, refused
from app.routers.pages.admin.clients import ONE
from app.routers.pages.admin.grant_rows import grant_rows
from app.routers.pages.admin.queries import (
    PAGE,
    from_micros,
    is_storable,
    read_place,
    read_query,
    to_micros,
    write_place,
)
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import OperatorDep, ViewerDep
from app.routers.pages.lists import Choice, Column, Pages, fresh_link, link
from app.routers.pages.render import render_page

router = APIRouter()
PATH = "/admin/grants"
_KNOWN = {"person": None, "client": None, "state": ("live",), "after": None}


@router.get("/grants")
async def show_grants(http: Request, tx: TransactionDep, person: ViewerDep) -> Response:
    """Who allowed what to whom, the newest first; of a person (by name), of a client (by id), or what holds."""
    query = read_query(http, _KNOWN)
    now, path = person.origin.now, person.services.address.path(PATH)
    place = read_place(query, "after", int)
    user = await accounts.find_user_by_username(tx, query["person"]) if "person" in query else None
    search = GrantSearch(
        # Nobody has an empty id: whom nobody knows allowed nothing.
        user_id=(user.id if user else "") if "person" in query else None,
        client_id=query.get("client"),
        live="state" in query,
        after=(from_micros(place[0]), place[1]) if place else None,
    )
    found = await search_grants(tx, search, now, PAGE + 1)
    context = {
        **page_context(person, "grants"),
        "query": {name: query.get(name, "") for name in _KNOWN},
        "columns": [
            Column(label) for label in ("Client", "Person", "May do", "State", "Allowed", "Last token")
        ],
        "grants": await grant_rows(tx, person, found[:PAGE]),
        "states": [
            Choice("all", fresh_link(path, query, state=None), "state" not in query),
            Choice("live", fresh_link(path, query, state="live"), "state" in query),
        ],
        "pages": _pages(path, query, found),
        "everything": path,
        "before_path": f"{PATH}/revoke-before",
        "now": f"{now:%Y-%m-%d %H:%M}",
    }
    return render_page(http, "admin_grants.html", context)


@router.post("/grants/revoke")
async def revoke(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Take one back; its tokens stop working at once."""
    grant_id = field_of(form, "grant_id")
    grant = await grant_store.find_grant(tx, grant_id) if is_storable(grant_id) else None
    if grant is None:
        raise nothing_there("There is no grant with this id, or no longer.")
    await revocation.revoke_grant(tx, person.services.policy, grant.id, "operator", person.origin)
    back = field_of(form, "back")
    if back == "client":
        return back_to(person, link(ONE, {"id": grant.client_id}))
    if back == "user" and grant.user_id is not None:
        return back_to(person, link("/admin/users/user", {"id": grant.user_id}))
    return back_to(person, PATH)


@router.post("/grants/revoke-before")
async def revoke_before(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """End everything that was made before a moment, the operator's own session too if it is older."""
    try:
        instant = datetime.strptime(f"{field_of(form, 'before').replace('T', ' ')}+0000", "%Y-%m-%d %H:%M%z")
    except ValueError:
        raise refused("Say before when, as 2026-11-23 12:00 (UTC).", "no_moment") from None
    await end_before(tx, person.services.policy, instant, person.origin)
    return back_to(person, PATH)


def _pages(path: str, query: Mapping[str, str], found: Sequence[ListedGrant]) -> Pages:
    shown, older = found[:PAGE], None
    if len(found) > PAGE:
        last = shown[-1].grant
        older = link(path, query, after=write_place((to_micros(last.created_at), last.id)))
    return Pages(len(shown), None, fresh_link(path, query) if "after" in query else None, older)
