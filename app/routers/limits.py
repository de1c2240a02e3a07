"""Rate limits, through the `limits` library: failures are counted, not work that succeeds (a sign-in is counted
before it is tried, and taken back when it was right).

Many people share one address (an office, claude.ai), so nothing that is valid is refused because a neighbour of it
guesses; only registrations, which need no proof of anything, are counted as such.
"""

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from app.oauth.errors import TooManyRequests

_WAIT = 60


class Limits:
    """The limits of this process.

    Args:
        registrations_per_minute: most registrations from one address in a minute.
    """

    def __init__(self, registrations_per_minute: int) -> None:
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._registrations = RateLimitItemPerMinute(registrations_per_minute, namespace="register")
        self._client_failures = RateLimitItemPerMinute(60, namespace="client-failures")
        self._source_failures = RateLimitItemPerMinute(600, namespace="source-failures")
        self._document_failures = RateLimitItemPerMinute(30, namespace="document-failures")
        # Guesses of passwords, within five minutes.
        self._account_source = RateLimitItemPerMinute(10, 5, namespace="sign-in-account-source")
        self._account = RateLimitItemPerMinute(50, 5, namespace="sign-in-account")
        self._source = RateLimitItemPerMinute(100, 5, namespace="sign-in-source")

    async def count_registration(self, source: str) -> None:
        """Count a registration.

        Raises:
            TooManyRequests: this address registered too many.
        """
        if not await self._limiter.hit(self._registrations, source):
            raise TooManyRequests("Too many registrations from this address.", retry_after=_WAIT)

    async def check_documents(self, source: str) -> None:
        """Before a client's metadata document is read for someone.

        Raises:
            TooManyRequests: too many that this address asked for could not be read.
        """
        if not await self._limiter.test(self._document_failures, source):
            raise TooManyRequests(
                "Too many apps from this address could not be looked up.", retry_after=_WAIT
            )

    async def count_document_failure(self, source: str) -> None:
        """Count a metadata document that could not be read."""
        await self._limiter.hit(self._document_failures, source)

    async def count_client_failure(self, source: str, client_id: str | None) -> None:
        """Count a refused request at the token or revocation endpoint; `client_id` is None when it is unknown here.

        The address is counted first: a caller who invents client ids can't fill the memory with them.

        Raises:
            TooManyRequests: instead of the refusal, when there were too many.
        """
        allowed = await self._limiter.hit(self._source_failures, source)
        if allowed:
            allowed = await self._limiter.hit(self._client_failures, source, client_id or "unknown")
        if not allowed:
            raise TooManyRequests("Too many refused requests.", retry_after=_WAIT)

    async def may_try_password(self, username: str, source: str, device: str | None) -> bool:
        """Whether another password may be tried; the try is counted before it is made, so that many at once don't
        slip through.

        A device that this person signed in with before has a count of its own: nobody can lock someone out by
        guessing.
        """
        if device is None and not await self._limiter.hit(self._source, source):
            return False
        tries = [
            await self._limiter.hit(item, *identifiers)
            for item, identifiers in self._of_account(username, source, device)
        ]
        return all(tries)

    async def forget_tries(self, username: str, source: str, device: str | None) -> None:
        """Start counting anew for someone who signed in, and give the address its try back."""
        if device is None:
            await self._storage.decr(self._source.key_for(source))
        for item, identifiers in self._of_account(username, source, device):
            await self._limiter.clear(item, *identifiers)

    def _of_account(
        self, username: str, source: str, device: str | None
    ) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
        name = username.lower()[:100]
        if device is not None:
            return [(self._account_source, (name, "device", device))]
        return [(self._account_source, (name, source)), (self._account, (name,))]
