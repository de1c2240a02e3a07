"""The pushed authorization request endpoint (RFC 9126)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from app.authorization_server import pushed_requests
from app.authorization_server.proof_of_possession import prove_possession
from app.oauth.errors import TooManyRequests
from app.oauth.features import Feature
from app.routers.client_authentication import authenticate_client
from app.routers.client_documents import read_client_document
from app.routers.dependencies import (
    NO_STORE,
    AuthorizationDep,
    FormDep,
    OriginDep,
    ProofsDep,
    ServicesDep,
    TransactionDep,
    nonce_header,
    requires_feature,
)

router = APIRouter(prefix="/oauth", tags=["oauth"], dependencies=[requires_feature(Feature.PUSHED_REQUESTS)])


async def read_document(request: Request, form: FormDep, services: ServicesDep, origin: OriginDep) -> None:
    """A client that describes itself in a document may push before it was ever seen at the authorization endpoint."""
    await read_client_document(request, services, origin, form)


@router.post("/par", status_code=201)
async def push(
    form: FormDep,
    authorization: AuthorizationDep,
    proofs: ProofsDep,
    services: ServicesDep,
    origin: OriginDep,
    _document: Annotated[None, Depends(read_document)],
    tx: TransactionDep,
) -> JSONResponse:
    """Keep an authorization request until a browser brings its `request_uri` (§2)."""
    client = await authenticate_client(tx, services, form, authorization, origin)
    if client.is_stranger and not await services.limits.count_authorization(origin.source):
        raise TooManyRequests("Too many people ask from this address.", retry_after=60)
    keys, policy = services.keys, services.policy
    url = f"{policy.issuer}/oauth/par"
    key = await prove_possession(tx, keys, policy, client, proofs, url, origin.now, required=False)
    pushed = await pushed_requests.push(tx, keys, policy, client, form, key, origin.now)
    return JSONResponse(pushed.response(), 201, NO_STORE | nonce_header(services, origin, proofs))
