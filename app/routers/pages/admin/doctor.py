"""The doctor on a page: how clients get to this server, or to another one, seen from here."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.audit import record
from app.authorization_server.guarded_backend import GuardedBackend
from app.doctor.examination import Examination, examine
from app.routers.browser import BrowserDep
from app.routers.dependencies import OriginDep, ServicesDep
from app.routers.pages.admin.answers import page_context
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import Person, ViewerDep, find_person, get_operator
from app.routers.pages.lists import Column
from app.routers.pages.render import render_page
from app.routers.services import Services
from app.visitor import Reach, is_endpoint_url

router = APIRouter()
PATH = "/admin/doctor"
_EACH, _TOGETHER = 5.0, 25.0
_LONGEST_URL = 500
_PILLS = {"ok": "ok", "warn": "waiting", "fail": "bad", "skip": "off"}


@router.get("/doctor")
async def show_doctor(http: Request, person: ViewerDep) -> Response:
    """The form, filled with this server's own endpoint."""
    return _page(http, person, person.services.policy.default_resource.url)


@router.post("/doctor")
async def run_doctor(
    http: Request, form: PageFormDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Examine an endpoint. No transaction is held meanwhile: the server may be asked itself, and needs one then."""
    async with services.database.transaction() as tx:
        person = get_operator(await find_person(http, tx, services, browser, origin), form)
        await record(tx, "doctor.run", person.origin)
    url, register = field_of(form, "url").strip(), field_of(form, "register") == "yes"
    if not is_endpoint_url(url) or len(url) > _LONGEST_URL:
        error = "That is no address of an endpoint: it begins with https:// and has no query."
        return _page(http, person, url, {"error": error, "register": register}, status=422)
    examination = await examine(_reach(services), url, origin.now, register=register)
    return _page(http, person, url, {"examination": examination, "register": register, **_told(examination)})


def _page(
    http: Request, person: Person, url: str, more: Mapping[str, Any] | None = None, *, status: int = 200
) -> Response:
    context = {
        **page_context(person, "doctor"),
        "path": PATH,
        "given": url,
        "columns": [Column("Check"), Column("State"), Column("Found")],
        "client_columns": [Column("Client"), Column("State"), Column("How far it gets")],
        "pills": _PILLS,
        "error": None,
        "register": False,
        "examination": None,
        **(more or {}),
    }
    return render_page(http, "admin_doctor.html", context, status=status)


def _told(examination: Examination) -> Mapping[str, Any]:
    """What is wrong, apart from what is not."""
    return {
        "faulty": [finding for finding in examination.findings if finding.mend],
        "fine": [finding for finding in examination.findings if not finding.mend],
    }


def _reach(services: Services) -> Reach:
    """The public internet and this server; nothing else that is inside, although an operator asks."""
    egress, parts = services.egress, urlsplit(services.address.origin)
    own = (parts.hostname or "", parts.port or (443 if services.address.secure else 80))
    return Reach(egress.resolver.resolve, GuardedBackend(egress, own), egress.tls, _EACH, _TOGETHER)
