"""E-mail to people: plain text through the operator's SMTP server, one letter a connection.

Nothing that a stranger chose goes into a header: the one address is checked, names stand in the text alone.
"""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib

from app.oauth.uris import is_loopback

# A link stands on one line, unbroken, also for those who read the letter as it came.
_POLICY = policy.SMTP.clone(max_line_length=500)
_WITHIN = 20.0  # seconds
_AT_ONCE = 4
_PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}


class InvalidMailSetting(ValueError):
    """A mail server or sender can't be what the setting says; the message goes on from the setting's name."""


class NotSent(Exception):
    """A letter did not go out; `reason` is a slug for the record, the message a sentence for operators."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where letters go out, and how the connection is protected."""

    host: str
    port: int
    encryption: Literal["from the start", "starttls", "none"]
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """What somebody is written: to one address, in plain text."""

    to: str
    subject: str
    text: str


def read_smtp_url(url: str) -> MailServer:
    """The server of an `SMTP_URL`: `smtps://` is encrypted from the start, `smtp://` by STARTTLS (not on loopback),
    `smtp+plain://` not at all.

    Raises:
        InvalidMailSetting
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidMailSetting("is not a URL") from None
    if parts.scheme not in _PORTS:
        raise InvalidMailSetting("must start with smtps://, smtp:// or smtp+plain://")
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidMailSetting("must name a host and nothing behind it, as smtps://user:password@host:465")
    near = is_loopback(f"http://{parts.netloc.rpartition('@')[2]}")
    encrypted = parts.scheme == "smtps" or (parts.scheme == "smtp" and not near)
    if parts.password is not None and not encrypted and not near:
        raise InvalidMailSetting("must not send a password unencrypted: use smtps:// or smtp://")
    return MailServer(
        host=host,
        port=port or _PORTS[parts.scheme],
        encryption="from the start" if parts.scheme == "smtps" else "starttls" if encrypted else "none",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def read_sender(sender: str) -> Address:
    """The sender of a `MAIL_FROM`: an address, or `Name <address>`.

    Raises:
        InvalidMailSetting
    """
    name, bracket, rest = sender.strip().rpartition("<")
    try:
        address = read_address(rest.removesuffix(">") if bracket else sender)
        return Address(name.strip().strip('"'), address.username, address.domain)
    except ValueError:
        raise InvalidMailSetting("must be an address, or a name and an address in <>") from None


def read_address(address: str) -> Address:
    """An e-mail address as headers spell it.

    Raises:
        ValueError: it is none, or would be read as more than one.
    """
    try:
        read = Address(addr_spec=address.strip())
    except (MessageError, IndexError):
        raise ValueError("not an address") from None
    if not (read.username and read.domain and read.domain.isascii()) or read.addr_spec != address.strip():
        raise ValueError("not an address")
    return read


class Mailer:
    """Sends letters.

    Args:
        server: where they go out.
        sender: whom they are from.
        our_name: the host that we introduce ourselves as; asking the system for it could take long.
        certificates: whom the server's certificate is checked against; the system's when missing.
    """

    def __init__(
        self, server: MailServer, sender: Address, our_name: str, certificates: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._sender = sender
        self._our_name = our_name
        self._certificates = certificates
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def send(self, letter: Letter, now: datetime) -> None:
        """Hand a letter to the mail server.

        Raises:
            NotSent
        """
        message = self._message(letter, now)
        server = self._server
        try:
            async with self._places, asyncio.timeout(_WITHIN):
                await aiosmtplib.send(
                    message,
                    hostname=server.host,
                    port=server.port,
                    username=server.username,
                    password=server.password,
                    use_tls=server.encryption == "from the start",
                    start_tls=server.encryption == "starttls",
                    tls_context=self._certificates,
                    local_hostname=self._our_name,
                    timeout=_WITHIN,
                )
        except aiosmtplib.SMTPRecipientsRefused:
            raise NotSent("address_refused", "The mail server takes no e-mail for this address.") from None
        except aiosmtplib.SMTPAuthenticationError:
            raise NotSent("sign_in_refused", "The mail server does not let this server in.") from None
        except (aiosmtplib.SMTPConnectError, OSError):
            raise NotSent("server_away", "The mail server can’t be reached.") from None
        except (aiosmtplib.SMTPException, ValueError):
            raise NotSent("server_refused", "The mail server did not take the e-mail.") from None

    def _message(self, letter: Letter, now: datetime) -> EmailMessage:
        message = EmailMessage(_POLICY)
        try:
            message["To"] = read_address(letter.to)
        except ValueError:
            raise NotSent("bad_address", "No e-mail can be sent to this address.") from None
        message["From"] = self._sender
        message["Subject"] = letter.subject
        message["Date"] = format_datetime(now)
        message["Message-ID"] = make_msgid(domain=self._sender.domain)
        # RFC 3834 §5: no machine is to answer.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        return message
