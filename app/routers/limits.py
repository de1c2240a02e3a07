"""Rate limits, through the `limits` library: failures are counted, not work that succeeds (a sign-in is counted
before it is tried, and taken back when it was right).

Many people share one address (an office, claude.ai), so nothing that is valid is refused because a neighbour of it
guesses; only what needs no proof of anything is counted as such: registrations, metadata documents that are to be
read, devices that ask to be let in, and requests of people who are not signed in. A source is an IPv4 address or the
/64 of an IPv6 address; those of networks that are known to be shared are allowed ten times as much.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute

from app.authorization_server.public_addresses import network_of
from app.oauth.errors import TooManyRequests
from app.routers.counting import Counting

_WAIT = 60
_SHARED = 10


@dataclass(frozen=True, slots=True)
class _PerSource:
    """How much one source may do, and how much one that many people share."""

    alone: RateLimitItem
    shared: RateLimitItem


def _per_source(amount: int, name: str, minutes: int = 1) -> _PerSource:
    return _PerSource(
        RateLimitItemPerMinute(amount, minutes, namespace=name),
        RateLimitItemPerMinute(amount * _SHARED, minutes, namespace=f"{name}-shared"),
    )


class Limits:
    """The limits of this process, or of the whole installation.

    Args:
        registrations_per_minute: most registrations from one source in a minute.
        shared_egress: networks from whose addresses many people come.
        counting: where it is counted; in this process when missing.
    """

    def __init__(
        self,
        registrations_per_minute: int,
        shared_egress: Iterable[str] = (),
        counting: Counting | None = None,
    ) -> None:
        self._counting = counting or Counting()
        self._shared_egress = [ipaddress.ip_network(entry, strict=False) for entry in shared_egress]
        self._registrations = _per_source(registrations_per_minute, "register")
        self._authorizations = _per_source(300, "authorize")
        self._refusals = _per_source(300, "refusals")
        self._client_failures = _per_source(60, "client-failures")
        self._source_failures = _per_source(600, "source-failures")
        self._documents = _per_source(100, "documents")
        self._document_failures = _per_source(30, "document-failures")
        self._devices = _per_source(30, "devices")
        self._source_devices = _per_source(300, "source-devices")
        # While a user code lives.
        self._wrong_codes = _per_source(20, "wrong-codes", 10)
        self._wrong_links = _per_source(30, "wrong-links", 10)
        self._asked_letters = _per_source(20, "asked-letters", 10)
        self._letters = RateLimitItemPerMinute(5, 60, namespace="letters")
        self._person = RateLimitItemPerMinute(100, namespace="authorize-person")
        # Guesses of passwords, within five minutes.
        self._account_source = RateLimitItemPerMinute(10, 5, namespace="sign-in-account-source")
        self._account = RateLimitItemPerMinute(50, 5, namespace="sign-in-account")
        self._sign_ins = _per_source(100, "sign-in-source", 5)
        # Guesses of codes by who has the password already: in a day 480, a chance of 2^-9 (three codes are good).
        self._second_factor = RateLimitItemPerMinute(10, 30, namespace="second-factor")

    async def count_registration(self, source: str) -> None:
        """Count a registration, or a change of one.

        Raises:
            TooManyRequests: this source registered too many.
        """
        if not await self._hit(self._registrations, source):
            raise TooManyRequests("Too many registrations from this address.", retry_after=_WAIT)

    async def count_authorization(self, source: str) -> bool:
        """Count a request for someone's approval from somewhere; False when there were too many."""
        return await self._hit(self._authorizations, source)

    async def count_authorization_of(self, user_id: str) -> bool:
        """Count one of somebody who is signed in; False when there were too many."""
        return await self._counting.hit(self._person, user_id)

    async def may_record(self, source: str) -> bool:
        """Whether one more refusal of this source goes into the audit record; all of them are counted anyway."""
        return await self._hit(self._refusals, source)

    async def count_document(self, source: str) -> None:
        """Count a client's metadata document that is to be read for someone: a row is kept of it, and its host asked.

        Raises:
            TooManyRequests: this source asked for too many, or for too many that could not be read.
        """
        item, network = self._of(self._document_failures, source)
        if not (await self._counting.test(item, network) and await self._hit(self._documents, source)):
            raise TooManyRequests(
                "Too many apps from this address could not be looked up.", retry_after=_WAIT
            )

    async def count_document_failure(self, source: str) -> None:
        """Count a metadata document that could not be read."""
        await self._hit(self._document_failures, source)

    async def count_client_failure(self, source: str, client_id: str | None) -> None:
        """Count a refused request at an endpoint for machines; `client_id` is None when it is unknown here.

        The source is counted first: a caller who invents client ids can't fill the memory with them.

        Raises:
            TooManyRequests: instead of the refusal, when there were too many.
        """
        allowed = await self._hit(self._source_failures, source)
        if allowed:
            allowed = await self._hit(self._client_failures, source, client_id or "unknown")
        if not allowed:
            raise TooManyRequests("Too many refused requests.", retry_after=_WAIT)

    async def count_device(self, source: str, client_id: str) -> None:
        """Count a device that begins to wait.

        Raises:
            TooManyRequests: too many of this client at this source, or at this source altogether.
        """
        allowed = await self._hit(self._source_devices, source)
        if allowed:
            allowed = await self._hit(self._devices, source, client_id)
        if not allowed:
            raise TooManyRequests("Too many devices ask from this address.", retry_after=_WAIT)

    async def may_try_code(self, source: str) -> bool:
        """Whether a device's user code may be typed here; people have limits of their own besides."""
        item, network = self._of(self._wrong_codes, source)
        return await self._counting.test(item, network)

    async def count_wrong_code(self, source: str) -> None:
        """Count a user code that was wrong."""
        await self._hit(self._wrong_codes, source)

    async def count_wrong_link(self, source: str) -> bool:
        """Count a link that let nobody in; False when there were too many. One that is good is never refused for it."""
        return await self._hit(self._wrong_links, source)

    async def may_ask_for_link(self, source: str) -> bool:
        """Whether one more letter may be asked for here by somebody who is not signed in."""
        return await self._hit(self._asked_letters, source)

    async def may_write_to(self, user_id: str) -> bool:
        """Whether one more letter of somebody's own, or in their name, may go out within the hour."""
        return await self._counting.hit(self._letters, user_id)

    async def may_try_password(self, username: str, source: str, device: str | None) -> bool:
        """Whether another password may be tried; the try is counted before it is made, so that many at once don't
        slip through.

        A device that this person signed in with before has a count of its own: nobody can lock someone out by
        guessing.
        """
        if device is None and not await self._hit(self._sign_ins, source):
            return False
        tries = [
            await self._counting.hit(item, *identifiers)
            for item, identifiers in self._of_account(username, source, device)
        ]
        return all(tries)

    async def forget_tries(self, username: str, source: str, device: str | None) -> None:
        """Start counting anew for someone who signed in, and give the source its try back."""
        if device is None:
            item, network = self._of(self._sign_ins, source)
            await self._counting.take_back(item, network)
        for account_item, identifiers in self._of_account(username, source, device):
            await self._counting.clear(account_item, *identifiers)

    async def may_try_second_factor(self, user_id: str, device: str | None) -> bool:
        """Whether another code of this person may be tried; counted before it is made. A device that they signed in
        with before has a count of its own, as with passwords.
        """
        return await self._counting.hit(self._second_factor, user_id, device or "unknown")

    async def forget_second_factor_tries(self, user_id: str, device: str | None) -> None:
        """Start counting anew for someone whose code was right."""
        await self._counting.clear(self._second_factor, user_id, device or "unknown")

    def _of_account(
        self, username: str, source: str, device: str | None
    ) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
        name = username.lower()[:100]
        if device is not None:
            return [(self._account_source, (name, "device", device))]
        return [(self._account_source, (name, network_of(source))), (self._account, (name,))]

    async def _hit(self, limit: _PerSource, source: str, *more: str) -> bool:
        item, network = self._of(limit, source)
        return await self._counting.hit(item, network, *more)

    def _of(self, limit: _PerSource, source: str) -> tuple[RateLimitItem, str]:
        """The limit that is meant for this source, and what it is counted as."""
        network = network_of(source)
        try:
            address = ipaddress.ip_address(source if "/" in network else network)
        except ValueError:
            return limit.alone, network
        shared = any(address in entry for entry in self._shared_egress)
        return limit.shared if shared else limit.alone, network
