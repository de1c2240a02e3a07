"""The token endpoint (OAuth 2.1 §3.2)."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.authorization_server.authorization_details import refuse_authorization_details
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.grants.registry import grant_types
from app.authorization_server.proof_of_possession import prove_possession
from app.oauth.errors import InvalidGrant, UnsupportedGrantType
from app.routers.client_authentication import authenticate_client
from app.routers.dependencies import (
    NO_STORE,
    AuthorizationDep,
    FormDep,
    OriginDep,
    ProofsDep,
    ServicesDep,
    TransactionDep,
    find_owner,
    nonce_header,
)
from app.routers.vouching import IssuerKeysDep, find_vouched

router = APIRouter(prefix="/oauth", tags=["oauth"])


@router.post("/token")
async def token(
    form: FormDep,
    authorization: AuthorizationDep,
    proofs: ProofsDep,
    services: ServicesDep,
    origin: OriginDep,
    _issuer_keys: IssuerKeysDep,
    tx: TransactionDep,
) -> JSONResponse:
    """The token endpoint (OAuth 2.1 §3.2)."""
    grant_type = form.require("grant_type")
    grant = grant_types(services.policy).get(grant_type)
    if grant is None:
        raise UnsupportedGrantType("grant_type is not supported.")
    client = await authenticate_client(tx, services, form, authorization, origin)
    url, keys, policy = f"{services.policy.issuer}/oauth/token", services.keys, services.policy
    proof_key = await prove_possession(
        tx, keys, policy, client, proofs, url, origin.now, required=client.requires_proof
    )
    refuse_authorization_details(form)
    try:
        request: Any = grant.parse(form)
        context = TokenContext(
            tx,
            origin,
            keys,
            services.signing_keys,
            policy,
            find_owner,
            grant_type,
            find_vouched,
            lambda url: services.key_sets.known(url, origin.now),
            proof_key=proof_key,
            hooks=services.hooks,
        )
        response = await grant.exchange(context, client, request)
    except InvalidGrant as error:
        await services.limits.count_client_failure(origin.source, error.client_id)
        raise
    services.client_documents.renew_soon(client, origin)
    services.tallies.count("token", grant_type)
    return JSONResponse(response.body(), headers=NO_STORE | nonce_header(services, origin, proofs))
