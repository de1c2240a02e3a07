"""The registration endpoint (RFC 7591)."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from app.authorization_server.registration import register as register_client
from app.oauth.credentials import INITIAL_ACCESS_TOKEN
from app.oauth.errors import InvalidClientMetadata, InvalidToken
from app.routers.dependencies import (
    NO_STORE,
    AuthorizationDep,
    OriginDep,
    ServicesDep,
    TransactionDep,
)

router = APIRouter(prefix="/oauth", tags=["oauth"])


def read_bearer(authorization: AuthorizationDep) -> str | None:
    """The bearer token that came along, if one did."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


OptionalBearerDep = Annotated[str | None, Depends(read_bearer)]


async def count_registration(services: ServicesDep, origin: OriginDep, bearer: OptionalBearerDep) -> None:
    """Count what everyone may do; who comes with an initial access token is only held up when it is not good.

    Raises:
        TooManyRequests: this source registered too much.
    """
    if bearer is None or not bearer.startswith(INITIAL_ACCESS_TOKEN):
        await services.limits.count_registration(origin.source)


async def read_metadata(request: Request, _counted: Annotated[None, Depends(count_registration)]) -> object:
    """The JSON body of a registration or an update.

    Raises:
        InvalidClientMetadata.
    """
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


MetadataDep = Annotated[object, Depends(read_metadata)]


@router.post("/register", status_code=201)
async def register(
    metadata: MetadataDep,
    bearer: OptionalBearerDep,
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> JSONResponse:
    """Dynamic client registration (RFC 7591 §3)."""
    try:
        registered = await register_client(
            tx, services.keys, services.policy, services.hooks, metadata, bearer, origin
        )
    except InvalidToken:
        await services.limits.count_client_failure(origin.source, None)
        raise
    services.tallies.count("registration", "dynamic")
    return JSONResponse(registered.response(services.policy.issuer), 201, NO_STORE)
