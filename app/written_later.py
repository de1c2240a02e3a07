"""What a process remembers and writes every few seconds, so that no request waits for it or fails with it."""

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import ClassVar

from app.database import undisturbed

log = logging.getLogger(__name__)
_WRITE_EVERY = 3.0  # seconds


class WrittenLater(ABC):
    """Something that is kept in memory until it is written."""

    # As the log calls it.
    what: ClassVar[str]

    @abstractmethod
    async def write(self) -> None:
        """Write what waits. What can't be written now goes on waiting."""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How much waits."""

    async def run(self) -> None:
        """Write every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_WRITE_EVERY)
            await undisturbed(self._try_to_write())

    async def close(self) -> None:
        """Write what waits for the last time."""
        await self._try_to_write()
        if self.waiting:
            log.warning("%s %s were not written", self.waiting, self.what)

    async def _try_to_write(self) -> None:
        try:
            await self.write()
        except Exception:
            # Whatever it was, the loop must not end, nor the shutdown stop: this is no reason for it.
            log.exception("The %s can't be written", self.what)
