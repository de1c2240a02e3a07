"""The keys that sign access tokens."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.authorization_server import store
from app.routers.dependencies import TransactionDep
from app.routers.pages.guards import ViewerDep
from app.routers.pages.render import render_page

router = APIRouter()
_HERE = "keys"


@router.get("/keys")
async def show_keys(http: Request, tx: TransactionDep, person: ViewerDep) -> Response:
    """Every key, the newest first; never its private half."""
    keys = await store.list_signing_keys(tx)
    return render_page(http, "admin_keys.html", {**person.context(_HERE), "keys": keys})
