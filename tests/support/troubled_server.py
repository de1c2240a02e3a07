"""A small MCP server with its authorization server, on a real loopback port: well but for what a test breaks.

It is asked as `https://mcp.example` by `reach_of`, whose resolver knows no other address, or by its port on loopback.
"""

import functools
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpcore2
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from app.visitor import Reach

HOST = "mcp.example"
URL = f"https://{HOST}/mcp"
ADDRESS = "1.1.1.1"
_RESOURCE_METADATA = "/.well-known/oauth-protected-resource"

Handler = Callable[[Request], Response]


@dataclass
class TroubledServer:
    """What it is to do wrong is set before it is asked.

    `resource` and `metadata` change what the two documents say; a change to None leaves a member out. `instead` is a
    whole answer, by method and path (`POST /mcp`), where it returns one. `challenge` is what the 401 is to say.
    """

    origin: str = f"https://{HOST}"
    port: int = 0
    resource: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    instead: dict[str, Callable[[Request], Response | None]] = field(default_factory=dict)
    challenge: str | None = None
    cors: Callable[[Request], dict[str, str]] | None = None
    clients: dict[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        """What is answered to a request."""
        asked = f"{request.method} {request.url.path}"
        self.seen.append(asked)
        response = self.instead[asked](request) if asked in self.instead else None
        response = response or self._answer(request, request.url.path)
        response.headers.update((self.cors or allow_pages)(request))
        return response

    def _answer(self, request: Request, path: str) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204)
        if path.rstrip("/") == "/mcp":
            return self.refuse(request)
        if path in {_RESOURCE_METADATA, f"{_RESOURCE_METADATA}/mcp"}:
            return JSONResponse(self.resource_document())
        if path == "/.well-known/oauth-authorization-server":
            return JSONResponse(self.server_document())
        if path == "/authorize":
            return HTMLResponse("<h1>Who asks?</h1>", 200 if "client_id" in request.query_params else 400)
        if path == "/token" and request.method == "POST":
            return JSONResponse({"error": "invalid_grant"}, 400)
        if path == "/register" and request.method == "POST":
            client_id = f"client-{len(self.clients)}"
            self.clients[client_id] = True
            told = {"registration_client_uri": f"{self.origin}/register/{client_id}"}
            return JSONResponse({"client_id": client_id, "registration_access_token": "t", **told}, 201)
        if path.startswith("/register/") and request.method == "DELETE":
            del self.clients[path.removeprefix("/register/")]
            return Response(status_code=204)
        return JSONResponse({"error": "not_found"}, 404)

    def refuse(self, request: Request) -> Response:
        """The 401 of the endpoint."""
        challenge = self.challenge or f'Bearer resource_metadata="{self.origin}{_RESOURCE_METADATA}/mcp"'
        if request.headers.get("authorization", "").removeprefix("Bearer").strip():
            challenge += ', error="invalid_token"'
        return JSONResponse({"error": "unauthorized"}, 401, {"WWW-Authenticate": challenge})

    def resource_document(self) -> dict[str, Any]:
        """RFC 9728."""
        said = {"resource": f"{self.origin}/mcp", "authorization_servers": [self.origin], **self.resource}
        return {name: value for name, value in said.items() if value is not None}

    def server_document(self) -> dict[str, Any]:
        """RFC 8414."""
        said = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        return {name: value for name, value in said.items() if value is not None}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(Request(scope, receive))(scope, receive, send)


def allow_pages(request: Request) -> dict[str, str]:
    """CORS as it should be."""
    if "origin" not in request.headers:
        return {}
    asked = request.headers.get("access-control-request-headers", "")
    return {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Headers": asked,
        "Access-Control-Expose-Headers": "WWW-Authenticate",
    }


def always(response: Response) -> Handler:
    """Whoever asks."""
    return lambda _request: Response(
        response.body, response.status_code, {**response.headers, "content-length": str(len(response.body))}
    )


def page(status: int = 200) -> Handler:
    """A page where a machine asks."""
    return lambda _request: HTMLResponse("<!doctype html><title>Just a moment…</title>", status)


def moved(status: int, target: str) -> Handler:
    """A redirect."""
    return lambda _request: Response(status_code=status, headers={"Location": target})


def said(status: int, **body: Any) -> Handler:
    """JSON."""
    return lambda _request: Response(json.dumps(body), status, media_type="application/json")


class _ToLoopback(httpcore2.AsyncNetworkBackend):
    """Connects to one port of this computer, whatever name and port are asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the interface
        port: int,  # noqa: ARG002 - the interface
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore2
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return await self._backend.connect_tcp(
            "127.0.0.1", self._port, timeout, local_address, socket_options
        )


def reach_of(port: int, *, each: float = 5.0, together: float = 60.0) -> Reach:
    """How the server on this port is reached under any name; the tests' authority is trusted."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return [ADDRESS]

    tls = ssl.create_default_context(cadata=authority()[0])
    return Reach(resolve, _ToLoopback(port), tls, each, together)


@functools.cache
def authority() -> tuple[str, ec.EllipticCurvePrivateKey]:
    """An authority of the tests: its certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _certificate(key, x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key


def _certificate(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, since: int = -1, until: int = 60
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority")]))
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=since))
        .not_valid_after(now + timedelta(days=until))
    )


def certified(*hosts: str, since: int = -1, until: int = 60, unknown: bool = False) -> ssl.SSLContext:
    """TLS with a certificate for these hosts (and 127.0.0.1), valid between these days from now.

    Args:
        unknown: signed by an authority that nobody trusts.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    signer = ec.generate_private_key(ec.SECP256R1()) if unknown else authority()[1]
    names = [*map(x509.DNSName, hosts), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        _certificate(key, x509.Name([]), since, until)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_bytes(private + certificate.public_bytes(pem))
        context.load_cert_chain(file)
    return context


@contextmanager
def running_troubled(tls: ssl.SSLContext | None = None) -> Iterator[TroubledServer]:
    """One that listens for the time of the `with` block, with TLS if it is given."""
    server = TroubledServer()
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]
    config = uvicorn.Config(server, lifespan="off", log_config=None, ws="none")
    config.load()
    config.ssl = tls
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        runner.should_exit = True
        thread.join(20)
        listener.close()
