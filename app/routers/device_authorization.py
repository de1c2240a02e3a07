"""The device authorization endpoint (RFC 8628 §3.1)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from app.authorization_server.authorization_details import refuse_authorization_details
from app.authorization_server.device_authorization import begin
from app.oauth.features import Feature
from app.routers.client_authentication import authenticate_client
from app.routers.client_documents import read_client_document
from app.routers.dependencies import (
    NO_STORE,
    AuthorizationDep,
    FormDep,
    OriginDep,
    ServicesDep,
    TransactionDep,
    requires_feature,
)

router = APIRouter(prefix="/oauth", tags=["oauth"], dependencies=[requires_feature(Feature.DEVICE)])


async def read_document(request: Request, form: FormDep, services: ServicesDep, origin: OriginDep) -> None:
    """Read the client's metadata document where there is one.

    Raises:
        DocumentRefused, TooManyFetches, TooManyRequests.
    """
    await read_client_document(request, services, origin, form)


@router.post("/device_authorization")
async def device_authorization(
    form: FormDep,
    authorization: AuthorizationDep,
    services: ServicesDep,
    origin: OriginDep,
    _document: Annotated[None, Depends(read_document)],
    tx: TransactionDep,
) -> JSONResponse:
    """Let a device wait for someone to type its code (RFC 8628 §3.2)."""
    client = await authenticate_client(tx, services, form, authorization, origin)
    refuse_authorization_details(form)
    if client.is_stranger:
        await services.limits.count_device(origin.source, client.client_id)
    codes = await begin(tx, services.keys, services.policy, client, form, origin)
    return JSONResponse(codes.body(services.policy), headers=NO_STORE)
