"""Where apps wait for the answer: small servers on this computer that note every request."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PAGE = b'<!doctype html><html lang="en"><title>Arrived</title><link rel="icon" href="data:,"><h1>Arrived</h1>'


@dataclass(frozen=True)
class Arrival:
    """One request that reached an app."""

    method: str
    host: str
    target: str
    headers: dict[str, str]


@dataclass
class Listener:
    """An app's server. A path below `onward` is answered with a redirect to where it says."""

    port: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    onward: dict[str, str] = field(default_factory=dict)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, then the end of the connection."""
        try:
            first = (await reader.readline()).decode("latin-1").split(" ")
            headers = {}
            while (line := (await reader.readline()).decode("latin-1").strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            if len(first) == 3:
                writer.write(self._note(Arrival(first[0], headers.get("host", ""), first[1], headers)))
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            # A browser opens connections that it does not use.
            return
        finally:
            writer.close()

    def _note(self, arrival: Arrival) -> bytes:
        if "favicon" in arrival.target:
            return b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
        self.arrivals.append(arrival)
        onward = self.onward.get(arrival.target.partition("?")[0])
        if onward is not None:
            return f"HTTP/1.1 302 Found\r\nLocation: {onward}\r\nConnection: close\r\n\r\n".encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: "
        return head + str(len(PAGE)).encode() + b"\r\n\r\n" + PAGE


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
    """A listener on a free port of this computer."""
    listener = Listener()
    server = await asyncio.start_server(listener.answer, "127.0.0.1", 0, ssl=tls)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()


def self_signed(folder: Path, *hosts: str) -> ssl.SSLContext:
    """TLS for these hosts, by nobody's authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "self-signed.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
