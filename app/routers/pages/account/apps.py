"""The apps that a person connected: what each may do and did, and how that is taken back, wholly or in part."""

import hashlib
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.authorization_server import revocation
from app.authorization_server.client_snapshot import may_stay
from app.authorization_server.connected_apps import ConnectedApp, list_connected_apps
from app.authorization_server.narrowing import NothingLeft, narrow
from app.authorization_server.records import Client
from app.authorization_server.tool_tester import CLIENT_ID as OUR_TESTER
from app.oauth.scopes import OFFLINE_ACCESS, parse_scope, worth_telling
from app.routers.dependencies import TransactionDep, find_owner
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import Person, PersonDep, WriterDep
from app.routers.pages.lists import Column
from app.routers.pages.permissions import opened_tools
from app.routers.pages.question import verified_host
from app.routers.pages.render import render_page
from app.routers.pages.words import moment

router = APIRouter()
_HERE = "account"
_PATH = "/account"
_PATHS = {
    "disconnect_path": f"{_PATH}/disconnect",
    "disconnect_all_path": f"{_PATH}/disconnect-all",
    "narrow_path": f"{_PATH}/narrow",
}
_BECAUSE = "person"
_DONE = {
    "disconnected": "Disconnected. The app can do nothing here any more.",
    "all": "Every app is disconnected.",
    "narrowed": "Done. From its next call on, the app can do no more than this.",
}
_COLUMNS = [Column(label) for label in ("App", "May do", "Connected", "Last used", "Ends", "Disconnect")]
Tools = Mapping[str, list[str]]


async def show_apps(http: Request, tx: TransactionDep, person: PersonDep) -> Response:
    """Every connected app as a row."""
    describe = _Describing(person)
    apps = await list_connected_apps(tx, person.id, person.origin.now)
    context = {
        **_context(http, person),
        "columns": _COLUMNS,
        "apps": [await describe.app(app) for app in apps],
    }
    return render_page(http, "account_apps.html", context, script=True)


@router.get("/apps/{key}")
async def show_app(http: Request, tx: TransactionDep, person: PersonDep, key: str) -> Response:
    """One app, with what may be taken back; one that is not connected any more leads to the list."""
    apps = await list_connected_apps(tx, person.id, person.origin.now)
    app = next((app for app in apps if _key(app.client) == key), None)
    if app is None:
        return _to(person, _PATH)
    context = {
        **_context(http, person),
        "app": await _Describing(person).app(app),
        "nothing_left": http.query_params.get("problem") == "nothing-left",
    }
    return render_page(http, "account_app.html", context)


@router.post("/disconnect")
async def disconnect(tx: TransactionDep, person: WriterDep, form: PageFormDep) -> Response:
    """Take back all that one app may do."""
    await find_owner(tx, person.id, hold=True)
    await revocation.revoke_app(
        tx, person.services.policy, person.id, field_of(form, "app"), _BECAUSE, person.origin
    )
    return _to(person, f"{_PATH}?done=disconnected")


@router.post("/disconnect-all")
async def disconnect_all(tx: TransactionDep, person: WriterDep) -> Response:
    """Take back all that every app may do."""
    await find_owner(tx, person.id, hold=True)
    await revocation.revoke_user(tx, person.services.policy, person.id, _BECAUSE, person.origin)
    return _to(person, f"{_PATH}?done=all")


@router.post("/narrow")
async def take_back(tx: TransactionDep, person: WriterDep, form: PageFormDep) -> Response:
    """Take back what was shown and is not ticked any more."""
    client_id = field_of(form, "app")
    await find_owner(tx, person.id, hold=True)
    taken = set(form.all("shown")) - set(form.all("keep"))
    page = f"{_PATH}/apps/{_key_of(client_id)}"
    where = (person.services.policy, person.id, client_id, field_of(form, "resource"))
    try:
        changed = await narrow(tx, *where, taken, person.origin)
    except NothingLeft:
        return _to(person, f"{page}?problem=nothing-left")
    return _to(person, f"{page}?done=narrowed" if changed else page)


class _Describing:
    """Makes rows of apps; which tools a scope opens is found out once a page, however many apps have it."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._services = person.services
        self._tools: dict[tuple[str, tuple[str, ...]], Tools] = {}

    async def app(self, app: ConnectedApp) -> dict[str, Any]:
        """An app as both pages show it."""
        now, last = self._person.origin.now, app.last_used
        return {
            "key": _key(app.client),
            "client_id": app.client.client_id,
            "name": app.client.display_name,
            "identity": _identity(app.client),
            "resources": [
                await self._at(app, resource)
                for resource in dict.fromkeys(grant.resource for grant in app.grants)
            ],
            "since": moment(now, app.since),
            "until": moment(now, app.until),
            "first_used": moment(now, app.first_used_at),
            "last_used": moment(now, last.last_used_at if last else None),
            "used_from": last.last_used_from if last else None,
            "times": len(app.grants),
            "is_ours": app.client.client_id == OUR_TESTER,
            "disabled": app.client.disabled_at is not None,
        }

    async def _at(self, app: ConnectedApp, resource: str) -> dict[str, Any]:
        """What an app may do at one resource."""
        catalogue = self._services.policy.catalogue
        here = [grant for grant in app.grants if grant.resource == resource]
        held = {name for grant in here for name in parse_scope(grant.scope)}
        scopes = tuple(scope.name for scope in catalogue if scope.name in held)
        if (resource, scopes) not in self._tools:
            self._tools[resource, scopes] = await opened_tools(self._services, scopes, resource)
        tools = self._tools[resource, scopes]
        taken = {name for grant in here for name in parse_scope(grant.taken_back)} - held
        return {
            "url": resource,
            "name": resource.partition("://")[2],
            "permissions": [
                {
                    "name": scope.name,
                    "sentence": scope.sentence,
                    "detail": scope.detail,
                    "tools": tools[scope.name],
                }
                for scope in worth_telling(scopes, catalogue)
            ],
            "stays": any(may_stay(app.client, grant.client_snapshot) for grant in here),
            "staying": OFFLINE_ACCESS,
            "taken": [scope.sentence for scope in worth_telling(taken, catalogue)],
        }


def _context(http: Request, person: Person) -> dict[str, Any]:
    done = _DONE.get(http.query_params.get("done", ""))
    return {**person.context(_HERE), **_PATHS, "done": done}


def _identity(client: Client) -> dict[str, str | None]:
    """What is known of who is behind an app; its name says nothing, anyone can take any name."""
    host = verified_host(client)
    if client.client_id == OUR_TESTER:
        return {"host": None, "state": "ok", "words": "a page of this server"}
    if client.approved_at is not None:
        return {"host": host, "state": "ok", "words": "known to this server’s operator"}
    if host is not None:
        return {"host": host, "state": "ok", "words": "verified"}
    if client.is_stranger:
        return {"host": None, "state": "waiting", "words": "not verified"}
    return {"host": None, "state": "ok", "words": "added by this server’s operator"}


def _key(client: Client) -> str:
    return _key_of(client.client_id)


def _key_of(client_id: str) -> str:
    """What stands for a client in our addresses: its id may be an address of its own."""
    return hashlib.sha256(client_id.encode("utf-8", "replace")).hexdigest()[:20]


def _to(person: Person, path: str) -> Response:
    return RedirectResponse(person.services.address.path(path), 303, {"Cache-Control": "no-store"})
