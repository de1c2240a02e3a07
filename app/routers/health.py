"""For machines that watch over this one."""

import sqlalchemy as sa
from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from app.database import DatabaseUnavailable
from app.migrations import current_revision, is_served
from app.routers.dependencies import ServicesDep
from app.routers.metrics import exposition

router = APIRouter(tags=["health"])
_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/healthz")
async def alive() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"}, headers=_NO_STORE)


@router.get("/readyz")
async def ready(services: ServicesDep) -> JSONResponse:
    """The process can serve: the database answers and its schema is the one that this code wants."""
    try:
        async with services.database.reading() as tx:
            await tx.execute(sa.select(1))
            revision = await current_revision(tx)
    except DatabaseUnavailable:
        return JSONResponse({"status": "database unavailable"}, 503, _NO_STORE)
    if not is_served(revision):
        return JSONResponse({"status": "migrations pending"}, 503, _NO_STORE)
    return JSONResponse({"status": "ok"}, headers=_NO_STORE)


@router.get("/metrics")
async def metrics() -> Response:
    """Counters in Prometheus's text format."""
    return Response(exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
