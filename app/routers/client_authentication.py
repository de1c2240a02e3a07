"""Client authentication, the same at every endpoint that asks for it."""

from app.audit import Origin
from app.authorization_server.client_authentication import authenticate
from app.authorization_server.records import Client
from app.database import Transaction
from app.oauth.errors import InvalidClient
from app.oauth.parameters import Parameters
from app.routers.services import Services


async def authenticate_client(
    tx: Transaction, services: Services, form: Parameters, authorization: str | None, origin: Origin
) -> Client:
    """The client that sent this form; failures are counted.

    Raises:
        InvalidRequest, InvalidClient: as `authenticate`.
        TooManyRequests: instead of the refusal, when there were too many.
    """
    try:
        return await authenticate(
            tx, services.keys, services.client_keys, services.policy, form, authorization, origin
        )
    except InvalidClient as error:
        await services.limits.count_client_failure(origin.source, error.client_id)
        raise
