"""What is revoked, held in memory and fed from a source.

A signature and an expiry can be checked offline; a revocation cannot. Each process keeps the revoked grants and
tokens that could still matter, so that a call costs two look-ups and no round trip. The process that revokes knows
at once; the others are woken, or find out at their next poll.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from app.clock import Clock

log = logging.getLogger(__name__)

POLL_EVERY = timedelta(seconds=0.5)
# Older than this, the memory is not trusted and every call asks the source.
FRESH_FOR = timedelta(seconds=5)
# Between two polls; a flood of news must not become a flood of polls.
_PAUSE = timedelta(seconds=0.05)
# Numbers are given before they are committed. Each poll looks this far back; what was later still is found by the
# whole reading, which comes round every few seconds.
_OVERLAP = 1000
_WHOLE_EVERY = timedelta(seconds=4)


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revoked grant or token: its running number at the source, its id, and until when it matters."""

    number: int
    subject: str
    keep_until: datetime


class RevocationsUnknown(Exception):
    """The source cannot be asked and the memory is too old: the answer is 503, never 200."""


class RevocationSource(Protocol):
    """Where revocations are kept; both methods raise `RevocationsUnknown` when it can't be reached."""

    async def after(self, number: int | None) -> Sequence[Revocation]:
        """What was revoked under a higher number; with None, all that still matters."""
        ...

    async def any_revoked(self, subjects: Collection[str]) -> bool:
        """Whether one of these ids is revoked."""
        ...


class Revocations:
    """The revoked grants and tokens, as this process knows them."""

    def __init__(self, source: RevocationSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._revoked: dict[str, datetime] = {}
        self._highest = 0
        self._known_at: datetime | None = None
        self._whole_at: datetime | None = None
        self._woken = asyncio.Event()

    @property
    def known_at(self) -> datetime | None:
        """When they were read last; None before the first time."""
        return self._known_at

    def add(self, news: Iterable[tuple[str, datetime]]) -> None:
        """Refuse these from now on."""
        self._revoked.update(news)

    def wake(self) -> None:
        """Poll now: something was revoked elsewhere."""
        self._woken.set()

    async def covers(self, subjects: Sequence[str], now: datetime) -> bool:
        """Whether one of these is revoked: a token, its grant, or the edition of its grant.

        Raises:
            RevocationsUnknown: nobody can tell.
        """
        for subject in subjects:
            if subject in self._revoked:
                return True
        if self._known_at is not None and now < self._known_at + FRESH_FOR:
            return False
        return await self._source.any_revoked(subjects)

    async def poll(self) -> None:
        """Read what is new, and forget what no living token can be hit by.

        No clock but our own is asked when something was revoked: another process's may be wrong.

        Raises:
            RevocationsUnknown: the source can't be reached.
        """
        began = self._clock.now()
        whole = self._whole_at is None or began >= self._whole_at + _WHOLE_EVERY
        for revocation in await self._source.after(None if whole else self._highest - _OVERLAP):
            self._revoked[revocation.subject] = revocation.keep_until
            self._highest = max(self._highest, revocation.number)
        self._known_at = began
        if whole:
            self._whole_at = began
        for subject in [subject for subject, keep_until in self._revoked.items() if keep_until <= began]:
            del self._revoked[subject]

    async def run(self) -> None:
        """Poll until cancelled."""
        known = True
        while True:
            self._woken.clear()
            try:
                await self.poll()
                known = True
            except RevocationsUnknown:
                if known:
                    log.warning(
                        "Revocations can't be read; after %s s every call asks.", FRESH_FOR.total_seconds()
                    )
                known = False
            except Exception:
                # Whatever it was, this loop must not end: the next poll may work, and until then every call asks.
                log.exception("Revocations can't be read")
            await asyncio.sleep(_PAUSE.total_seconds())
            # Not wait_for: before Python 3.12 it can swallow a cancellation that comes with the wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_EVERY.total_seconds()):
                    await self._woken.wait()
