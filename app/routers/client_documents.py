"""Metadata documents of clients, read before any transaction waits for the network."""

from fastapi import Request

from app.audit import Origin
from app.authorization_server.client_authentication import read_keys
from app.authorization_server.client_documents import DocumentRefused
from app.oauth.errors import OAuthError
from app.oauth.parameters import Parameters
from app.routers.dependencies import record_refusal
from app.routers.services import Services


async def read_client_document(
    request: Request, services: Services, origin: Origin, parameters: Parameters
) -> None:
    """Read the document of the client that the parameters name, where it has one and it must be read.

    Raises:
        DocumentRefused: it can't be used.
        TooManyFetches, TooManyRequests: too many are asked for.
    """
    client_ids = parameters.all("client_id")
    if len(client_ids) != 1:
        return
    try:
        if await services.client_documents.needs_fetch(client_ids[0], origin.now):
            await services.limits.count_document(origin.source)
            await services.client_documents.fetch(client_ids[0], origin)
            # Only now it is known where the keys of a new client are that signs for itself.
            await read_keys(services.client_keys, services.policy, parameters, origin)
    except OAuthError as error:
        if isinstance(error, DocumentRefused):
            await services.limits.count_document_failure(origin.source)
        if error.audited:
            async with services.database.transaction() as tx:
                await record_refusal(tx, request, origin, error)
        raise
