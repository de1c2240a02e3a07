"""A little internet: names that resolve as a test says, one real TLS server behind every address, and counters."""

import asyncio
import functools
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpcore2
import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.authorization_server.document_fetcher import Egress
from tests.support.world import REDIRECT_URI, World

HOST = "app.example"
URL = f"https://{HOST}/client.json"
PUBLIC = "93.184.216.34"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def document(url: str = URL, **changes: Any) -> dict[str, Any]:
    """A good metadata document; a change to None leaves a field out."""
    fields = {
        "client_id": url,
        "client_name": "Documented App",
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def answer(
    body: object = b"", *, status: int = 200, length: bool = True, **headers: str
) -> Callable[[], bytes]:
    """A whole answer; header names are written with underscores."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content_type": "application/json", "connection": "close", **headers}
    if length:
        fields["content_length"] = str(len(content))
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return lambda: f"HTTP/1.1 {status} Some\r\n{head}\r\n".encode() + content


def drip(start: bytes) -> Answer:
    """Sends a beginning, then nothing until the other side hangs up."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        await reader.read()

    return run


async def endless_headers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One header after the other, for as long as someone listens."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def endless_interim_answers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer is on its way, says one after the other, for as long as someone listens."""
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50)
        await writer.drain()


@dataclass
class Internet:
    """Resolver and network of a server under test.

    `names` holds the answers for each name, the last one for good; `pages` what is at each path of the server; at
    `dead` addresses nobody answers.
    """

    port: int = 0
    names: dict[str, list[Sequence[str]]] = field(default_factory=lambda: {HOST: [[PUBLIC]]})
    pages: dict[str, Callable[[], bytes] | Answer] = field(default_factory=dict)
    lookups: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        self.lookups.append(host)
        answers = self.names.get(host, [[PUBLIC] if host.endswith(".example") else []])
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if not found:
            raise OSError("no such name")
        return found

    def egress(self, seconds: float = 5.0) -> Egress:
        """What `create_app` takes."""
        tls = ssl.create_default_context(cadata=certificates()[0])
        return Egress(self, _Backend(self), tls, seconds)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            if self.gate is not None:
                await self.gate.wait()
            page = self.pages.get(head.split(b" ", 2)[1].decode(), answer(status=404))
            sent = page() if not asyncio.iscoroutinefunction(page) else page(reader, writer)  # type: ignore[call-arg]
            if isinstance(sent, bytes):
                writer.write(sent)
                await writer.drain()
            else:
                await sent
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class _Backend(httpcore2.AsyncNetworkBackend):
    """Counts every address that is connected, and leads them all to the little server."""

    def __init__(self, internet: Internet) -> None:
        self._internet = internet

    async def connect_tcp(
        self,
        host: str,
        port: int,  # noqa: ARG002 - the interface of httpcore2
        timeout: float | None = None,  # noqa: ASYNC109 - the same
        local_address: str | None = None,  # noqa: ARG002 - the same
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - the same
    ) -> httpcore2.AsyncNetworkStream:
        self._internet.connections.append(host)
        if host in self._internet.dead:
            raise httpcore2.ConnectError(host)
        return await httpcore2.AnyIOBackend().connect_tcp("127.0.0.1", self._internet.port, timeout)


async def ask(world: World, client_id: str = URL, source: str = "203.0.113.7") -> httpx2.Response:
    """A new browser at this address comes from the app with this client id."""
    client = {"client_id": client_id, "redirect_uris": [REDIRECT_URI]}
    async with world.browser(source) as browser:
        return await world.authorize(browser, client)


async def reasons(world: World) -> list[str]:
    """Why the authorization endpoint refused, as the audit record tells."""
    rows = await world.rows("SELECT reason FROM audit_events WHERE event = 'refused /authorize' ORDER BY id")
    return [row["reason"] for row in rows]


def is_page(response: httpx2.Response, status: int = 400) -> bool:
    """Whether a person is told, and sent nowhere."""
    return (
        response.status_code == status
        and "location" not in response.headers
        and response.headers["content-type"].startswith("text/html")
    )


@asynccontextmanager
async def running_internet() -> AsyncIterator[Internet]:
    """The server is real: sockets, TLS and certificates."""
    internet = Internet(pages={"/client.json": answer(document())})
    _, certificate, key = certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_text(certificate + key)
        context.load_cert_chain(file)
    server = await asyncio.start_server(internet.serve, "127.0.0.1", 0, ssl=context)
    internet.port = server.sockets[0].getsockname()[1]
    async with server:
        yield internet


@functools.cache
def certificates() -> tuple[str, str, str]:
    """An authority, and a certificate of it for names below .example and for localhost."""
    now = datetime.now(UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority of the tests")])
    names = [HOST, "evil.example", *(f"h{number}.example" for number in range(40)), "localhost"]
    loopback = x509.IPAddress(ipaddress.ip_address("::1"))

    def build(public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().issuer_name(issuer).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))

    authority = (
        build(authority_key.public_key())
        .subject_name(issuer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        build(key.public_key())
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, names), loopback]), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return authority.public_bytes(pem).decode(), leaf.public_bytes(pem).decode(), private.decode()
