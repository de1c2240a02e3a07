"""The registration endpoint (RFC 7591)."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from app.authorization_server.registration import register as register_client
from app.oauth.errors import InvalidClientMetadata
from app.routers.dependencies import NO_STORE, OriginDep, ServicesDep, TransactionDep

router = APIRouter(prefix="/oauth", tags=["oauth"])


async def read_metadata(request: Request, services: ServicesDep, origin: OriginDep) -> object:
    """The JSON body of a registration, once this address has not registered too much.

    Raises:
        TooManyRequests, InvalidClientMetadata.
    """
    await services.limits.count_registration(origin.source)
    media_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if media_type != "application/json":
        raise InvalidClientMetadata("Content-Type must be application/json.")
    body = await request.body()
    # Metadata is flat; deep nesting only costs, and can exhaust the parser's stack.
    if body.count(b"[") + body.count(b"{") > 200:
        raise InvalidClientMetadata("The body is nested too deeply.")
    try:
        metadata: object = json.loads(body)
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise InvalidClientMetadata("The body must be JSON.") from None
    return metadata


@router.post("/register", status_code=201)
async def register(
    metadata: Annotated[object, Depends(read_metadata)],
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> JSONResponse:
    """Dynamic client registration (RFC 7591 §3)."""
    registered = await register_client(tx, services.keys, services.policy, services.hooks, metadata, origin)
    return JSONResponse(registered.response(), 201, NO_STORE)
