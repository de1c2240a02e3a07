"""Letters: which servers and senders are understood, what goes over the wire, and what strangers can't smuggle in."""

import logging
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from app.accounts.letters import Letters, told
from app.accounts.links import Purpose
from app.accounts.records import User
from app.mail import (
    InvalidMailSetting,
    Letter,
    Mailer,
    MailServer,
    NotSent,
    read_address,
    read_sender,
    read_smtp_url,
)
from tests.mail_server import running_mail_server
from tests.support.self_signed import self_signed

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SENDER = read_sender("The door <door@example.com>")
LINK = "https://door.example/link/ost_link_" + "A" * 43
LETTER = Letter("alice@example.com", "Hello", f"Hello Ælice,\n\n{LINK}\n")
HOSTILE = "Zoe\r\nBcc: all@evil.example\u202e “https://evil.example/pay” <b>" + "x" * 100


def mailer_at(url: str, certificates: ssl.SSLContext | None = None) -> Mailer:
    return Mailer(read_smtp_url(url), SENDER, "door.example", certificates)


def user_called(name: str) -> User:
    return User("user_1", "zoe", name, None, None, False, NOW, NOW, None, None)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (
            "smtps://door%40example.com:p%2Fw@mail.example",
            MailServer("mail.example", 465, "from the start", "door@example.com", "p/w"),
        ),
        ("smtp://mail.example:2525", MailServer("mail.example", 2525, "starttls")),
        ("smtp://mail.example", MailServer("mail.example", 587, "starttls")),
        ("smtp+plain://relay.internal", MailServer("relay.internal", 25, "none")),
        ("smtp://localhost:1025", MailServer("localhost", 1025, "none")),
        ("smtp://u:p@[::1]:1025/", MailServer("::1", 1025, "none", "u", "p")),
        ("smtps://127.0.0.1", MailServer("127.0.0.1", 465, "from the start")),
    ],
)
def test_a_mail_server_is_read_from_its_url(url: str, server: MailServer) -> None:
    assert read_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example:25",
        "https://mail.example",
        "smtp://",
        "smtp://mail.example:port",
        "smtp://mail.example/path",
        "smtp://mail.example?starttls=never",
        "smtp+plain://user:password@mail.example",
        "smtp://[::1",
    ],
)
def test_what_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidMailSetting, match=r"^(is|must) "):
        read_smtp_url(url)


@pytest.mark.parametrize(
    ("sender", "read"),
    [
        ("door@example.com", "door@example.com"),
        ("The door <door@example.com>", "The door <door@example.com>"),
        ('"Door, the" <door@example.com>', '"Door, the" <door@example.com>'),
    ],
)
def test_a_sender_is_an_address_with_or_without_a_name(sender: str, read: str) -> None:
    assert str(read_sender(sender)) == read


@pytest.mark.parametrize("sender", ["", "door", "Door <door>", "a@b.example, c@d.example", "a\nb <a@b>"])
def test_what_is_no_sender_is_refused(sender: str) -> None:
    with pytest.raises(InvalidMailSetting):
        read_sender(sender)


@pytest.mark.parametrize(
    "address",
    [
        "", "a", "@", "a@", "@b", "a,b@c", "a@b,c@d", "a b@c", "a<b@c", "a@b>c", "a@b;c@d", "a@b\r\nBcc: c@d",
        "a\n@b", "(note)a@b", "a:b@c", "a@exämple.com", "ä@b.example", "group:a@b;",
    ],
)  # fmt: skip
def test_what_is_not_one_address_is_written_to_by_nobody(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_address(address)


async def test_a_letter_arrives_as_it_was_written_and_for_machines_not_to_answer() -> None:
    async with running_mail_server() as box:
        await mailer_at(box.url).send(LETTER, NOW)
    (letter,), (envelope,) = box.letters, box.envelopes
    assert letter.get_content().replace("\r\n", "\n") == LETTER.text
    assert (letter["From"], letter["To"], letter["Subject"]) == (str(SENDER), LETTER.to, "Hello")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Message-ID"].endswith("@example.com>")
    assert letter["Date"].datetime == NOW
    assert letter.get_content_type() == "text/plain"
    assert (envelope.mail_from, envelope.rcpt_tos) == ("door@example.com", ["alice@example.com"])
    # Unbroken on one line also as it came.
    assert LINK.encode() in (envelope.content or b"")


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_a_hostile_name_stays_text(purpose: Purpose) -> None:
    letters = Letters("https://door.example")
    letter = letters.with_link(purpose, user_called(HOSTILE), "zoe@example.com", LINK)
    async with running_mail_server() as box:
        await mailer_at(box.url).send(letter, NOW)
    (arrived,), (envelope,) = box.letters, box.envelopes
    assert envelope.rcpt_tos == ["zoe@example.com"]
    assert arrived["Bcc"] is None
    assert "Zoe" not in str(arrived.items())
    text = arrived.get_content().replace("\r\n", "\n")
    assert text.startswith("Hello Zoe Bcc: all@ evil. example https: / / evil. example/ pay <…,\n\n")
    assert text.count("\n\n") > 3
    assert "evil.example" not in text
    assert text.count(LINK) == 1


def test_what_is_told_of_a_name() -> None:
    assert told("Zoë van der Berg-Łukasz 张") == "Zoë van der Berg-Łukasz 张"
    assert told("a\u202eb\u2066c\u200bd\x00e\u2028f") == "a b c d e f"
    assert len(told("x" * 500)) == 61


def test_the_notice_names_no_new_address() -> None:
    letter = Letters("https://door.example/prefix").address_notice(user_called("Zoe"), "old@example.com")
    assert letter.to == "old@example.com"
    assert letter.subject == "Your address for door.example is about to change"
    assert "https://door.example/prefix" in letter.text


@pytest.mark.parametrize("address", ["a@b\r\nBcc: c@d", "a,b@c.example", "nobody"])
async def test_an_address_that_is_none_gets_no_letter(address: str) -> None:
    async with running_mail_server() as box:
        with pytest.raises(NotSent) as error:
            await mailer_at(box.url).send(Letter(address, "Hello", "Hello"), NOW)
    assert error.value.reason == "bad_address"
    assert box.letters == []


async def test_a_refused_address_or_letter_is_told() -> None:
    async with running_mail_server() as box:
        mailer = mailer_at(box.url)
        box.refused.add(LETTER.to)
        with pytest.raises(NotSent) as error:
            await mailer.send(LETTER, NOW)
        assert error.value.reason == "address_refused"
        box.refused.clear()
        box.takes_letters = False
        with pytest.raises(NotSent) as error:
            await mailer.send(LETTER, NOW)
        assert error.value.reason == "server_refused"


async def test_a_server_that_is_away_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NotSent) as error:
        await mailer_at(f"smtp://127.0.0.1:{port}").send(LETTER, NOW)
    assert error.value.reason == "server_away"


@pytest.mark.parametrize("right", [True, False])
async def test_a_password_opens_the_server_and_stands_in_no_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, right: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {
        "tls_context": self_signed(tmp_path, "localhost").served,
        "auth_required": True,
        "authenticator": lambda *_: AuthResult(success=right, handled=False),
    }
    trusting = ssl.create_default_context(cafile=tmp_path / "self-signed.pem")
    async with running_mail_server(**options) as box:
        server = MailServer("localhost", read_smtp_url(box.url).port, "starttls", "door", "hunter2")
        mailer = Mailer(server, SENDER, "door.example", trusting)
        if right:
            await mailer.send(LETTER, NOW)
        else:
            with pytest.raises(NotSent) as error:
                await mailer.send(LETTER, NOW)
            assert error.value.reason == "sign_in_refused"
            assert "hunter2" not in str(error.value)
    assert len(box.letters) == right
    assert "hunter2" not in caplog.text


async def test_a_server_elsewhere_gets_nothing_unencrypted() -> None:
    """Somebody in between could take the offer of STARTTLS away."""
    async with running_mail_server() as box:
        port = read_smtp_url(box.url).port
        mailer = Mailer(MailServer("127.0.0.1", port, "starttls"), SENDER, "door.example")
        with pytest.raises(NotSent):
            await mailer.send(LETTER, NOW)
    assert box.letters == []


@pytest.mark.parametrize("encryption", ["from the start", "starttls"])
async def test_a_certificate_is_checked(tmp_path: Path, encryption: Any) -> None:
    served = self_signed(tmp_path, "localhost").served
    trusting = ssl.create_default_context(cafile=tmp_path / "self-signed.pem")
    options = {"tls_context": served} if encryption == "starttls" else {}
    wrapped = served if encryption == "from the start" else None
    async with running_mail_server(wrapped, **options) as box:
        server = MailServer("localhost", read_smtp_url(box.url).port, encryption)
        with pytest.raises(NotSent) as error:
            await Mailer(server, SENDER, "door.example").send(LETTER, NOW)
        assert error.value.reason == "server_away"
        assert box.letters == []
        await Mailer(server, SENDER, "door.example", trusting).send(LETTER, NOW)
    assert len(box.letters) == 1
