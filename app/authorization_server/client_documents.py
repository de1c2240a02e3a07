"""Which documents are read when: one fetch in flight per URL, few at all, and only before a new authorization."""

import contextlib
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime, timedelta

from app.audit import Origin, record, record_clients_deleted
from app.authorization_server import registration_store, store
from app.authorization_server.approval import withdraw_approval
from app.authorization_server.client_key_metadata import PRIVATE_KEY_JWT
from app.authorization_server.client_metadata_document import read_document
from app.authorization_server.client_snapshot import snapshot_of
from app.authorization_server.document_fetcher import (
    METADATA_DOCUMENT,
    DocumentFetcher,
    DocumentUnreadable,
)
from app.authorization_server.flights import Flights, TooManyFetches
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.database import Database, Transaction
from app.hooks import Hooks, Refused, Registration
from app.oauth.assertions import read_key_set
from app.oauth.errors import InvalidClientMetadata, InvalidRedirectURI, OAuthError
from app.oauth.jwt import Unverified
from app.oauth.uris import InvalidURI, check_client_id_url, host_of, is_client_id_url, is_loopback
from app.rows import values_of
from app.tallies import Tallies

_OLD = timedelta(days=1)
# Between two readings that a token request asks for.
_PAUSE = timedelta(seconds=10)
_MOST_TRIED = 1000
# More than one may go for a new one, after the cap was lowered.
_SWEPT = 10


class DocumentRefused(OAuthError):
    """There is no usable metadata document at the address that the app uses as its id.

    Args:
        words: what is wrong, as a sentence for people.
        host: whose document it is; empty when the address itself is not usable.
    """

    error = "invalid_client"

    def __init__(self, words: str, *, reason: str, url: str | None = None) -> None:
        super().__init__("The client metadata document is not usable.", reason=reason, client_id=url)
        self.words = words
        self.host = host_of(url) if url else ""


class DocumentsFull(OAuthError):
    """As many clients that nobody approved were described as this server keeps, and none of them may go yet."""

    error = "temporarily_unavailable"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "Too many apps came here for the first time just now; try again in a minute.",
            reason="documents_full",
            retry_after=60,
        )


class ClientDocuments:
    """The documents of this process's clients; what was read is kept in the database, for every process."""

    def __init__(
        self, database: Database, policy: Policy, fetcher: DocumentFetcher, hooks: Hooks, tallies: Tallies
    ) -> None:
        self._database = database
        self._tallies = tallies
        self._hooks = hooks
        self._policy = policy
        self._fetcher = fetcher
        self._flights = Flights[DocumentRefused | DocumentsFull | None]()
        self._tried: OrderedDict[str, datetime] = OrderedDict()

    async def needs_fetch(self, client_id: str, now: datetime) -> bool:
        """Whether the document of this client id must be read before the app may ask.

        A client that was registered by other means is used as it stands, whatever its id looks like (§6.10).

        Raises:
            DocumentRefused: the address is not one that is read here.
        """
        if not is_client_id_url(client_id):
            return False
        async with self._database.reading() as tx:
            client = await store.find_client(tx, client_id)
        if client is not None and (not client.is_document or client.disabled_at is not None):
            return False
        self._check_address(client_id)
        return client is None or not _is_fresh(client, now)

    def _check_address(self, client_id: str) -> None:
        if not self._policy.client_documents:
            raise DocumentRefused("This server does not read such descriptions.", reason="documents_off")
        try:
            url = check_client_id_url(client_id, loopback=is_loopback(self._policy.issuer))
        except InvalidURI as error:
            raise DocumentRefused(f"The address {error}.", reason="document_url_invalid") from None
        if not self._policy.reads_from(host_of(url)):
            raise DocumentRefused(
                "This server’s operator did not allow that host.", reason="document_host_not_allowed", url=url
            )

    async def fetch(self, url: str, origin: Origin) -> None:
        """Read the document, or wait for the one who is reading it, and store what it says.

        Raises:
            DocumentRefused: it could not be read, or says something that is refused.
            TooManyFetches, DocumentsFull.
        """
        refused = await self._flights.join(url, origin.source, lambda: self._read(url, origin))
        if isinstance(refused, DocumentsFull):
            raise DocumentsFull
        if refused is not None:
            raise DocumentRefused(refused.words, reason=refused.reason or "", url=url)

    def renew_soon(self, client: Client, origin: Origin) -> None:
        """Read an old document of a client that is in use once more, without anyone waiting for it.

        A client that only refreshes never comes to the authorization endpoint, and would be cut off in the end.
        """
        fetched_at, url = client.document_fetched_at, client.client_id
        if fetched_at is None or origin.now < fetched_at + _OLD or not self._may_try(url, origin.now):
            return
        # Where there is no place, the next refresh tries again.
        with contextlib.suppress(DocumentRefused, TooManyFetches):
            self._check_address(url)
            self._flights.start(url, origin.source, lambda: self._read(url, origin))

    async def renew(self, client: Client, assertion: Unverified, origin: Origin) -> None:
        """Read a document again if its keys are no longer fresh or lack the one that signed this; not too often.

        What can't be read changes nothing: the last reading serves for a while.

        Raises:
            TooManyFetches: a key is lacking, and there is no place.
        """
        url, keys = client.client_id, client.jwks
        signs = client.token_endpoint_auth_method == PRIVATE_KEY_JWT
        is_held = keys is None or read_key_set(keys).candidates(assertion.kid, assertion.algorithm)
        serves = signs and bool(is_held)
        if serves and _is_fresh(client, origin.now):
            return
        if url not in self._flights and not self._may_try(url, origin.now):
            return
        try:
            self._check_address(url)
            await self._flights.join(url, origin.source, lambda: self._read(url, origin, again=True))
        except DocumentRefused:
            return
        except TooManyFetches:
            if not serves:
                raise

    def _may_try(self, url: str, now: datetime) -> bool:
        """Whether this document was not asked for just now: a host that is away must not slow down its clients."""
        tried_at = self._tried.get(url)
        if url in self._flights or (tried_at is not None and now < tried_at + _PAUSE):
            return False
        self._tried[url] = now
        self._tried.move_to_end(url)
        if len(self._tried) > _MOST_TRIED:
            self._tried.popitem(last=False)
        return True

    async def close(self) -> None:
        """Give up what is being read."""
        await self._flights.close()

    async def _read(
        self, url: str, origin: Origin, *, again: bool = False
    ) -> DocumentRefused | DocumentsFull | None:
        async with self._database.reading() as tx:
            stored = await store.find_client(tx, url)
        if stored is not None and _is_fresh(stored, origin.now) and not again:
            return None  # someone else was faster
        try:
            fetched = await self._fetcher.fetch(url, METADATA_DOCUMENT)
            client = read_document(
                fetched.document, url, self._policy, origin.now, fetched.fresh_for, origin.source
            )
            await self._hooks.registration(Registration("document", values_of(client), origin.source))
        except DocumentUnreadable as error:
            if error.gone and stored is not None and stored.document_withdrawn_at is None:
                async with self._database.transaction() as tx:
                    await store.withdraw_document(tx, url, origin.now)
                    await record(tx, "client.withdrawn", origin, reason=error.reason, client_id=url)
            words = f"The app’s description could not be read: {error.words}."
            return DocumentRefused(words, reason=error.reason)
        except Refused as error:
            return DocumentRefused(error.description, reason="hook")
        except (InvalidClientMetadata, InvalidRedirectURI) as error:
            words = f"The app’s description can’t be used. {error.description}"
            return DocumentRefused(words, reason="document_invalid")
        try:
            async with self._database.transaction() as tx:
                is_new = await _keep(tx, client, self._policy, origin)
        except DocumentsFull as error:
            return error
        if is_new:
            self._tallies.count("registration", "document")
        return None


def _is_fresh(client: Client, now: datetime) -> bool:
    until = client.document_fresh_until
    return client.document_withdrawn_at is None and until is not None and now < until


async def _keep(tx: Transaction, client: Client, policy: Policy, origin: Origin) -> bool:
    """Store what the document says; whether that is the first time. A client that came by other means meanwhile stays
    as it is.

    Raises:
        DocumentsFull.
    """
    await tx.lock(f"client {client.client_id}")
    stored = await store.find_client(tx, client.client_id)
    if stored is None:
        await _make_room(tx, policy, origin)
        await store.add_client(tx, client)
        await record(tx, "client.described", origin, client_id=client.client_id)
    elif stored.is_document:
        changed = snapshot_of(stored) != snapshot_of(client)
        changed_at = origin.now if changed else stored.changed_at
        await store.update_document(tx, replace(client, changed_at=changed_at))
        if changed:
            await record(tx, "client.described", origin, reason="changed", client_id=client.client_id)
            await withdraw_approval(tx, client.client_id, origin, "changed")
    return stored is None


async def _make_room(tx: Transaction, policy: Policy, origin: Origin) -> None:
    """Keep the clients that nobody approved below the cap, as registrations are: anybody has as many addresses as they
    like. The oldest one goes for the newest.

    Raises:
        DocumentsFull.
    """
    # One after another, so that no two of them see the same last place.
    await tx.lock("documents")
    cap = policy.registration_cap
    too_many = await registration_store.count_unused_documents(tx, cap + _SWEPT) - cap + 1
    if too_many <= 0:
        return
    read_before = origin.now - policy.registration_grace
    gone = await registration_store.delete_oldest_documents(tx, read_before, origin.now, too_many)
    await record_clients_deleted(tx, origin, "cap_reached", gone)
    if not gone:
        raise DocumentsFull
