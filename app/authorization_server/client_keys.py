"""The keys of clients that sign for themselves: registered, published in their document, or at an address of theirs."""

import contextlib

from app.audit import Origin
from app.authorization_server import store
from app.authorization_server.client_documents import ClientDocuments
from app.authorization_server.client_key_metadata import PRIVATE_KEY_JWT
from app.authorization_server.key_sets import KeySets, KeysUnavailable
from app.authorization_server.records import Client
from app.database import Database
from app.oauth.assertions import KeySet, read_key_set
from app.oauth.jwt import Unverified


class ClientKeys:
    """Finds them, and reads them anew where they are published."""

    def __init__(self, database: Database, key_sets: KeySets, documents: ClientDocuments) -> None:
        self._database = database
        self._key_sets = key_sets
        self._documents = documents

    async def find_client(self, client_id: str) -> Client | None:
        """The client, in a transaction of its own."""
        async with self._database.reading() as tx:
            return await store.find_client(tx, client_id)

    def known(self, client: Client, origin: Origin) -> KeySet | None:
        """The client's keys, without asking anyone."""
        if client.jwks_uri is not None:
            return self._key_sets.known(client.jwks_uri, origin.now)
        return read_key_set(client.jwks) if client.jwks is not None else None

    async def read(self, client: Client, assertion: Unverified, origin: Origin) -> None:
        """Read the keys that this assertion needs, so that `known` knows them. No transaction may be open.

        Keys that can't be read are no error here: the assertion proves nothing then.

        Raises:
            TooManyFetches: they would have to be read, and there is no place.
        """
        if client.is_document:
            await self._documents.renew(client, assertion, origin)
            client = await self.find_client(client.client_id) or client
        if client.jwks_uri is not None and client.token_endpoint_auth_method == PRIVATE_KEY_JWT:
            with contextlib.suppress(KeysUnavailable):
                await self._key_sets.find(client.jwks_uri, assertion, origin.now, origin.source)
