"""The keys that sign access tokens, and their rotation."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.authorization_server import keys as rules
from app.authorization_server import store
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import back_to, page_context, refused
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import OperatorDep, ViewerDep
from app.routers.pages.lists import Column
from app.routers.pages.render import render_page
from app.routers.pages.words import duration

router = APIRouter()
_PATH = "/admin/keys"
_COLUMNS = ("Key", "State", "Made", "Signs from", "Signs until", "Accepted until")


@router.get("/keys")
async def show_keys(http: Request, tx: TransactionDep, person: ViewerDep) -> Response:
    """Every key, the newest first; never its private half."""
    keys = [
        {"key": key, "state": rules.state_of(key, person.origin.now)}
        for key in await store.list_signing_keys(tx)
    ]
    context = {
        **page_context(person, "keys"),
        "columns": [Column(label) for label in _COLUMNS],
        "keys": keys,
        "rotating": any(row["state"] == "waiting" for row in keys),
        "ahead": duration(rules.PUBLISHED_AHEAD),
        "overlap": duration(rules.OVERLAP),
        "rotate_path": f"{_PATH}/rotate",
    }
    return render_page(http, "admin_keys.html", context)


@router.post("/keys/rotate")
async def rotate(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Make a new key; with `distrust` the present ones are worth nothing from now on."""
    distrust = field_of(form, "distrust") == "yes"
    try:
        await rules.rotate(tx, person.services.keys, person.origin, distrust=distrust)
    except rules.AlreadyRotating:
        raise refused("The last new key is published and does not sign yet.", "already_rotating") from None
    return back_to(person, _PATH)
