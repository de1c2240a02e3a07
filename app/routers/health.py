"""For machines that watch over this one."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.routers.gauges import Gauges
from app.routers.metrics import exposition
from app.routers.readiness import READY, Readiness

router = APIRouter(tags=["health"])
_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/healthz")
async def alive() -> JSONResponse:
    """The process answers; of anything else it knows nothing."""
    return JSONResponse({"status": "ok"}, headers=_NO_STORE)


@router.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """The process can serve: the database answers and its schema is one that this code serves, there are signing keys,
    what is revoked is known, and the process is not about to end.
    """
    readiness: Readiness = request.app.state.readiness
    state = await readiness.state()
    return JSONResponse({"status": state}, 200 if state == READY else 503, _NO_STORE)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """What is counted and measured, in Prometheus's text format."""
    gauges: Gauges = request.app.state.gauges
    gauges.look()
    return Response(exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
