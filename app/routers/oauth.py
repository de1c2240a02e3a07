"""The endpoints for machines: registration, token, revocation."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from app.authorization_server import revocation
from app.authorization_server.client_authentication import authenticate
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.grants.registry import GRANTS
from app.authorization_server.registration import register as register_client
from app.oauth.errors import (
    InvalidClient,
    InvalidClientMetadata,
    InvalidGrant,
    UnsupportedGrantType,
)
from app.routers.dependencies import (
    AuthorizationDep,
    FormDep,
    OriginDep,
    ServicesDep,
    TransactionDep,
    find_owner,
)

router = APIRouter(prefix="/oauth", tags=["oauth"])
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


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
    registered = await register_client(tx, services.keys, services.policy, metadata, origin)
    return JSONResponse(registered.response(), 201, _NO_STORE)


@router.post("/token")
async def token(
    form: FormDep,
    authorization: AuthorizationDep,
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> JSONResponse:
    """The token endpoint (OAuth 2.1 §3.2)."""
    grant_type = form.require("grant_type")
    grant = GRANTS.get(grant_type)
    if grant is None:
        raise UnsupportedGrantType("grant_type is not supported.")
    try:
        client = await authenticate(tx, services.keys, services.policy, form, authorization, origin.now)
        request: Any = grant.parse(form)
        context = TokenContext(tx, origin, services.keys, services.signing_keys, services.policy, find_owner)
        response = await grant.exchange(context, client, request)
        services.client_documents.renew_soon(client, origin)
    except (InvalidClient, InvalidGrant) as error:
        await services.limits.count_client_failure(origin.source, error.client_id)
        raise
    return JSONResponse(response.body(), headers=_NO_STORE)


@router.post("/revoke")
async def revoke(
    form: FormDep,
    authorization: AuthorizationDep,
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> Response:
    """Token revocation (RFC 7009 §2)."""
    try:
        client = await authenticate(tx, services.keys, services.policy, form, authorization, origin.now)
    except InvalidClient as error:
        await services.limits.count_client_failure(origin.source, error.client_id)
        raise
    secret = form.require("token")
    await revocation.revoke_token(
        tx, services.keys, services.signing_keys, services.policy, client, secret, origin
    )
    return Response(status_code=200, headers=_NO_STORE)
