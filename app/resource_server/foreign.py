"""Bearer tokens of other issuers, where the operator knows what they mean."""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from app.clock import Clock
from app.oauth import jwt
from app.resource_server.principal import Principal
from app.resource_server.verifier import Caller, InvalidToken, UnknownToken, Verifier

# Who calls with a foreign token for this resource; None when nobody knows it. Raises `RevocationsUnknown` when that
# can't be told at present.
FindForeign = Callable[[str], Awaitable[Principal | None]]

# How long an answer holds: only the other issuer knows when its token is revoked.
FRESH_FOR = timedelta(seconds=5)
_MOST_REMEMBERED = 1000


class ForeignTokens:
    """A verifier that asks elsewhere about tokens that are not ours.

    Never about one that names our issuer: whoever forged it must not find a second judge.
    """

    def __init__(self, ours: Verifier, issuer: str, resource: str, find: FindForeign, clock: Clock) -> None:
        self._ours = ours
        self._issuer = issuer
        self._resource = resource
        self._find = find
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[Caller, datetime]] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """See `AccessTokenVerifier.verify`."""
        try:
            return await self._ours.verify(token)
        except UnknownToken:
            if jwt.claimed_issuer(token) == self._issuer:
                raise
        now, digest = self._clock.now(), hashlib.sha256(token.encode()).digest()
        caller, asked_at = self._remembered.get(digest, (None, now))
        if caller is None or now >= asked_at + FRESH_FOR:
            self._remembered.pop(digest, None)
            caller = await self._ask(token)
            self._remembered[digest] = (caller, now)
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        if now >= caller.principal.expires_at:
            raise InvalidToken("The access token has expired.")
        return caller

    async def _ask(self, token: str) -> Caller:
        principal = await self._find(token)
        if principal is None:
            raise UnknownToken
        return Caller(principal, self._resource)
