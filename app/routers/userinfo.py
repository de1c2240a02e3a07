"""The userinfo endpoint (OpenID Connect Core §5.3)."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from app.authorization_server import userinfo as rules
from app.oauth.errors import InvalidToken
from app.oauth.features import Feature
from app.routers.dependencies import (
    NO_STORE,
    AccessTokenDep,
    OriginDep,
    ServicesDep,
    TransactionDep,
    find_owner,
    nonce_header,
    requires_feature,
)

router = APIRouter(prefix="/oauth", tags=["oauth"], dependencies=[requires_feature(Feature.OPENID)])


@router.get("/userinfo")
@router.post("/userinfo")
async def userinfo(
    request: Request,
    presented: AccessTokenDep,
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> JSONResponse:
    """Who signed in (§5.3.1); the body of a POST means nothing."""
    policy, keys = services.policy, services.keys
    try:
        claims = await rules.userinfo(
            tx, keys, services.signing_keys, policy, find_owner, presented, request.method, origin.now
        )
    except InvalidToken as error:
        await services.limits.count_client_failure(origin.source, error.client_id)
        raise
    return JSONResponse(claims, headers=NO_STORE | nonce_header(services, origin, presented.proofs))
