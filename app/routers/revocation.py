"""The revocation endpoint (RFC 7009)."""

from fastapi import APIRouter
from starlette.responses import Response

from app.authorization_server import revocation
from app.routers.client_authentication import authenticate_client
from app.routers.dependencies import (
    NO_STORE,
    AuthorizationDep,
    FormDep,
    OriginDep,
    ServicesDep,
    TransactionDep,
)

router = APIRouter(prefix="/oauth", tags=["oauth"])


@router.post("/revoke")
async def revoke(
    form: FormDep,
    authorization: AuthorizationDep,
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> Response:
    """Token revocation (RFC 7009 §2)."""
    client = await authenticate_client(tx, services, form, authorization, origin)
    secret = form.require("token")
    await revocation.revoke_token(
        tx, services.keys, services.signing_keys, services.policy, client, secret, origin
    )
    return Response(status_code=200, headers=NO_STORE)
