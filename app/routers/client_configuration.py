"""The configuration endpoint of each client (RFC 7592)."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from app.audit import Origin
from app.authorization_server import client_configuration
from app.authorization_server.records import Client
from app.authorization_server.registration import Registered
from app.database import Transaction
from app.oauth.errors import InvalidToken
from app.oauth.features import Feature
from app.routers.dependencies import (
    NO_STORE,
    OriginDep,
    ServicesDep,
    TransactionDep,
    requires_feature,
)
from app.routers.registration import MetadataDep, OptionalBearerDep
from app.routers.services import Services

router = APIRouter(
    prefix="/oauth/register",
    tags=["oauth"],
    dependencies=[requires_feature(Feature.REGISTRATION_MANAGEMENT)],
)


def require_bearer(bearer: OptionalBearerDep) -> str:
    """The registration access token.

    Raises:
        InvalidToken: there is none.
    """
    if bearer is None:
        raise InvalidToken("The registration access token is required.", presented=False, reason="no_token")
    return bearer


BearerDep = Annotated[str, Depends(require_bearer)]


@router.get("/{client_id}")
async def read(
    client_id: str, bearer: BearerDep, services: ServicesDep, origin: OriginDep, tx: TransactionDep
) -> JSONResponse:
    """What is registered now (RFC 7592 §2.1). The secret can't be told again: only its hash is stored."""
    client = await _identify(tx, services, client_id, bearer, origin)
    return _information(services, Registered(client, None, bearer))


@router.put("/{client_id}")
async def replace(
    client_id: str,
    metadata: MetadataDep,
    bearer: BearerDep,
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> JSONResponse:
    """Put other metadata in the place of the present one (RFC 7592 §2.2)."""
    client = await _identify(tx, services, client_id, bearer, origin)
    changed, secret = await client_configuration.replace_metadata(
        tx, services.keys, services.policy, services.hooks, client, metadata, origin
    )
    return _information(services, Registered(changed, secret, bearer))


@router.delete("/{client_id}")
async def remove(
    client_id: str, bearer: BearerDep, services: ServicesDep, origin: OriginDep, tx: TransactionDep
) -> Response:
    """Remove the client with all that it was allowed (RFC 7592 §2.3)."""
    client = await _identify(tx, services, client_id, bearer, origin)
    await client_configuration.remove(tx, services.policy, client, origin)
    return Response(status_code=204, headers=NO_STORE)


async def _identify(
    tx: Transaction, services: Services, client_id: str, bearer: str, origin: Origin
) -> Client:
    """The client whose configuration endpoint this is; failures are counted.

    Raises:
        InvalidToken, ClientDisabled: as `identify`.
        TooManyRequests: instead of the refusal, when there were too many.
    """
    try:
        return await client_configuration.identify(tx, services.keys, client_id, bearer)
    except InvalidToken as error:
        await services.limits.count_client_failure(origin.source, error.client_id)
        raise


def _information(services: Services, registered: Registered) -> JSONResponse:
    return JSONResponse(registered.response(services.policy.issuer), headers=NO_STORE)
