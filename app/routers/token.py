"""The token endpoint (OAuth 2.1 §3.2)."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.authorization_server.grants.context import TokenContext
from app.authorization_server.grants.registry import grant_types
from app.oauth.errors import InvalidGrant, UnsupportedGrantType
from app.routers.client_authentication import authenticate_client
from app.routers.dependencies import (
    NO_STORE,
    AuthorizationDep,
    FormDep,
    OriginDep,
    ServicesDep,
    TransactionDep,
    find_owner,
)

router = APIRouter(prefix="/oauth", tags=["oauth"])


@router.post("/token")
async def token(
    form: FormDep,
    authorization: AuthorizationDep,
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> JSONResponse:
    """The token endpoint (OAuth 2.1 §3.2)."""
    grant = grant_types(services.policy).get(form.require("grant_type"))
    if grant is None:
        raise UnsupportedGrantType("grant_type is not supported.")
    client = await authenticate_client(tx, services, form, authorization, origin)
    try:
        request: Any = grant.parse(form)
        context = TokenContext(tx, origin, services.keys, services.signing_keys, services.policy, find_owner)
        response = await grant.exchange(context, client, request)
    except InvalidGrant as error:
        await services.limits.count_client_failure(origin.source, error.client_id)
        raise
    services.client_documents.renew_soon(client, origin)
    return JSONResponse(response.body(), headers=NO_STORE)
