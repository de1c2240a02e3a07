"""Access tokens that are bound to a key: whoever uses one proves to hold it (RFC 9449 §7, §9).

Refuses, in this order:
 1. a token that is presented under the scheme of the other kind          invalid_token
 2. what `app.oauth.dpop` refuses of the proof                            invalid_dpop_proof, use_dpop_nonce
 3. a proof of another key, or made for another token                     invalid_token
 4. a proof that was used before                                          invalid_dpop_proof
"""

from collections import Counter, OrderedDict
from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from starlette.types import Message, Send

from app.clock import Clock
from app.oauth.dpop import Nonces, Presented, check_binding
from app.oauth.errors import InvalidDPoPProof
from app.resource_server.principal import Principal

_MOST_REMEMBERED = 100_000
# Eighty calls a second: more than any one client makes, and too few to take the places of all.
_MOST_OF_ONE_KEY = 10_000


class ReplaysUnknown(Exception):
    """Nobody can tell at present whether a proof was used before: the answer is 503, never 200."""


class ReplayGuard(Protocol):
    """Where used proofs are remembered, for every process that serves the resource."""

    async def spend(self, key: str, identifier: str, expires_at: datetime) -> bool:
        """Remember a proof until it is too old anyway; False when it was used before.

        Args:
            key: the thumbprint of the key that made it (RFC 7638).

        Raises:
            ReplaysUnknown: nobody can tell.
        """
        ...


class RememberedProofs:
    """A replay guard in memory, for a resource that one process serves.

    Args:
        most: how many proofs it remembers at most; until some of them grow old, no others are taken then.
        most_of_one_key: the same for one key, so that one caller can't shut out the others.
    """

    def __init__(
        self, clock: Clock, most: int = _MOST_REMEMBERED, most_of_one_key: int = _MOST_OF_ONE_KEY
    ) -> None:
        self._clock = clock
        self._most = most
        self._most_of_one_key = most_of_one_key
        self._used: OrderedDict[str, tuple[datetime, str]] = OrderedDict()
        self._of_key: Counter[str] = Counter()

    async def spend(self, key: str, identifier: str, expires_at: datetime) -> bool:
        """See `ReplayGuard.spend`."""
        now = self._clock.now()
        # The oldest stand in front, because every proof is remembered for about as long.
        while self._used and next(iter(self._used.values()))[0] <= now:
            self._forget_oldest()
        if identifier in self._used:
            return False
        if len(self._used) >= self._most or self._of_key[key] >= self._most_of_one_key:
            raise ReplaysUnknown
        self._used[identifier] = expires_at, key
        self._of_key[key] += 1
        return True

    def _forget_oldest(self) -> None:
        _, (_, key) = self._used.popitem(last=False)
        self._of_key[key] -= 1
        if not self._of_key[key]:
            del self._of_key[key]


class PossessionCheck:
    """Holds callers to the binding of their tokens.

    Args:
        urls: the addresses of the resource as the world spells them, from configuration and never from a request.
        nonces: this server's, if proofs must hold one.
    """

    def __init__(
        self, urls: Collection[str], replays: ReplayGuard, nonces: Nonces | None, clock: Clock
    ) -> None:
        self._urls = frozenset(urls)
        self._replays = replays
        self._nonces = nonces
        self._clock = clock

    async def check(self, presented: Presented, method: str, principal: Principal) -> None:
        """Whether the caller may use this token in this way.

        Raises:
            WrongBinding, InvalidDPoPProof, UseDPoPNonce: as the head of this file says.
            ReplaysUnknown: nobody can tell at present.
        """
        now = self._clock.now()
        proof = check_binding(presented, principal.proof_key, method, self._urls, now, self._nonces)
        if proof is not None and not await self._replays.spend(proof.key, proof.identifier, proof.expires_at):
            raise InvalidDPoPProof("The DPoP proof was used before.", reason="proof_replayed")

    def with_nonce(self, send: Send) -> Send:
        """`send`, with the nonce for the caller's next proof where one is asked for (RFC 9449 §9)."""
        nonces = self._nonces
        if nonces is None:
            return send

        async def send_with_nonce(message: Message) -> None:
            if message["type"] == "http.response.start":
                nonce = nonces.current(self._clock.now())
                message["headers"] = [*message["headers"], (b"dpop-nonce", nonce.encode())]
            await send(message)

        return send_with_nonce
