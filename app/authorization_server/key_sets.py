"""Keys that others publish as a JWK set: read under guard, remembered for a while, never asked for too often.

A set is read again when it is no longer fresh, and when someone signs with a key that it does not hold, which is how
keys are changed (OpenID Connect Core §10.1.1). Whoever sends us assertions must not make us hammer the host by it: one
fetch at a time for each URL, and a pause between two. While the host is away, what was read last serves for a day;
a host that says that there is no such set, or that shows one without usable keys, takes them back at once.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.authorization_server.document_fetcher import JWK_SET, DocumentFetcher, DocumentUnreadable
from app.authorization_server.flights import Flights, TooManyFetches
from app.oauth.assertions import InvalidKeySet, KeySet, read_key_set
from app.oauth.jwt import Unverified

_PAUSE = timedelta(seconds=10)
_SERVES = timedelta(days=1)
_MOST = 500


class KeysUnavailable(Exception):
    """There are no keys of this URL, now.

    Args:
        reason: a slug for the audit record.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Entry:
    """What is known of one URL: when it was asked last, and what it said when it last said something usable."""

    tried_at: datetime
    fresh_until: datetime
    serves_until: datetime
    keys: KeySet | None = None
    problem: str = ""


class KeySets:
    """The JWK sets that this process has read. No transaction may be open while `find` is awaited."""

    def __init__(self, fetcher: DocumentFetcher) -> None:
        self._fetcher = fetcher
        self._flights = Flights[None]()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def find(self, url: str, assertion: Unverified, now: datetime, source: str | None) -> KeySet:
        """The keys at this URL, read again if this assertion needs it.

        Args:
            source: the address of whoever sent the assertion; None where the operator chose the URL, whose reading
                never waits for a place.

        Raises:
            KeysUnavailable: the set could not be read, now or lately.
            TooManyFetches: it would have to be read, and there is no place.
        """
        if self._needs_reading(url, assertion, now):
            try:
                await self._flights.join(url, source, lambda: self._read(url, now))
            except TooManyFetches:
                if self.known(url, now) is None:
                    raise
        keys = self.known(url, now)
        if keys is None:
            # Those of many other URLs may have taken its place since it was read.
            entry = self._entries.get(url)
            raise KeysUnavailable(entry.problem if entry is not None else "keys_forgotten")
        return keys

    def known(self, url: str, now: datetime) -> KeySet | None:
        """The keys at this URL as they were last read, without asking anyone."""
        entry = self._entries.get(url)
        return entry.keys if entry is not None and now < entry.serves_until else None

    async def close(self) -> None:
        """Give up what is being read."""
        await self._flights.close()

    def _needs_reading(self, url: str, assertion: Unverified, now: datetime) -> bool:
        entry = self._entries.get(url)
        if entry is None:
            return True
        self._entries.move_to_end(url)
        fresh = entry.keys if now < entry.fresh_until else None
        if fresh is not None and fresh.candidates(assertion.kid, assertion.algorithm):
            return False
        return url in self._flights or now >= entry.tried_at + _PAUSE

    async def _read(self, url: str, now: datetime) -> None:
        entry = self._entries.setdefault(url, _Entry(now, now, now))
        if len(self._entries) > _MOST:
            self._entries.popitem(last=False)
        entry.tried_at = now
        try:
            fetched = await self._fetcher.fetch(url, JWK_SET)
            entry.keys = read_key_set(fetched.document)
            entry.fresh_until, entry.serves_until = now + fetched.fresh_for, now + _SERVES
        except DocumentUnreadable as error:
            entry.problem = error.reason
            if error.gone:
                entry.keys = None
        except InvalidKeySet:
            # An owner who publishes an empty set takes all keys back.
            entry.problem, entry.keys = "keys_invalid", None
