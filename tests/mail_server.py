"""A real mail server for tests: it keeps what it is given, and refuses what it is told to."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class MailBox:
    """What arrived, and what is refused. `url` is the server's `SMTP_URL`."""

    url: str = ""
    letters: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    takes_letters: bool = True
    # Called when a letter arrives.
    looking: Callable[[], Awaitable[None]] | None = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        if self.looking is not None:
            await self.looking()
        if not self.takes_letters:
            return "554 not this one"
        assert isinstance(envelope.content, bytes)
        self.envelopes.append(envelope)
        self.letters.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        """The letters to this address."""
        return [letter for letter in self.letters if letter["To"] == address]


@asynccontextmanager
async def running_mail_server(tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[MailBox]:
    """A mail server on loopback; options are those of aiosmtpd's `SMTP`; `tls` encrypts from the start."""
    box, loop = MailBox(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(box, hostname="mail.example", loop=loop, **options), "127.0.0.1", 0, ssl=tls
    )
    box.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()
