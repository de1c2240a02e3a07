"""Reads a client's metadata document from the network, guarded: a stranger chose the address (draft-01 §4, §6.5, §6.6).

The name is resolved once, every address is checked, and only a checked address is connected: a name that resolves to
something else a moment later gains nothing. TLS and `Host` keep the name.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import anyio
import anyio.to_thread
import httpcore2

from app.authorization_server.public_addresses import is_loopback_address, is_public
from app.oauth.uris import LOOPBACK_HOSTS, host_of

_LARGEST = 5 * 1024
_CONNECT_SECONDS = 2.0
_SHORTEST_CACHING, _USUAL_CACHING, _LONGEST_CACHING = (
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)


class Resolver(Protocol):
    """Turns a host name into addresses; called once a fetch."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Every address of the host.

        Raises:
            OSError: the name has none.
        """
        ...


class SystemResolver:
    """The machine's own resolver. A name server that hangs holds one of a few threads, never a request."""

    def __init__(self) -> None:
        self._threads = anyio.CapacityLimiter(8)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        found = await anyio.to_thread.run_sync(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
            abandon_on_cancel=True,
            limiter=self._threads,
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Egress:
    """How this server reaches others: names, connections, trusted certificates, and the time for one fetch in all."""

    resolver: Resolver = field(default_factory=SystemResolver)
    backend: httpcore2.AsyncNetworkBackend = field(default_factory=httpcore2.AnyIOBackend)
    tls: ssl.SSLContext = field(default_factory=httpcore2.default_ssl_context)
    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A JSON document, and for how long it may be used without asking again."""

    document: object
    fresh_for: timedelta


class DocumentUnreadable(Exception):
    """The document could not be read.

    Args:
        reason: a slug for the audit record.
        words: what went wrong, as the end of a sentence.
        gone: whether the host says that there is no such document.
    """

    def __init__(self, reason: str, words: str, *, gone: bool = False) -> None:
        super().__init__(words)
        self.reason = reason
        self.words = words
        self.gone = gone


class DocumentFetcher:
    """Fetches documents, each with a connection of its own.

    Args:
        loopback: whether documents on this computer may be read: where this server is on loopback itself.
    """

    def __init__(self, egress: Egress, *, loopback: bool) -> None:
        self._egress = egress
        self._loopback = loopback

    async def fetch(self, url: str) -> Fetched:
        """Fetch a document from a URL that passed `check_client_id_url`.

        Raises:
            DocumentUnreadable: whatever went wrong.
        """
        try:
            async with asyncio.timeout(self._egress.seconds):
                return await self._fetch(url)
        except (TimeoutError, httpcore2.TimeoutException):
            raise DocumentUnreadable("document_timeout", "the host took too long to answer") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError):
            raise DocumentUnreadable(
                "document_unreachable", "there was no secure connection to the host"
            ) from None

    async def _fetch(self, url: str) -> Fetched:
        target = httpcore2.URL(url)
        port = target.port or (443 if target.scheme == b"https" else 80)
        addresses = await self._checked_addresses(host_of(url), port)
        headers = [
            ("Host", target.host.decode() + (f":{target.port}" if target.port else "")),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", "Ostiary"),
        ]
        # Made anew for each fetch: nothing is shared between hosts, and no proxy is taken from the environment.
        async with (
            httpcore2.AsyncConnectionPool(
                ssl_context=self._egress.tls, network_backend=_Pinned(self._egress.backend, addresses)
            ) as pool,
            pool.stream("GET", target, headers=headers) as response,
        ):
            answered = {name.lower(): value for name, value in response.headers}
            _check_answer(response.status, answered)
            body = b""
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > _LARGEST:
                    raise _too_large()
        return Fetched(_parse(body), _fresh_for(answered.get(b"cache-control", b"")))

    async def _checked_addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = await self._egress.resolver.resolve(host, port)
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses:
            raise DocumentUnreadable("document_host_unknown", "the host’s name leads nowhere")
        shown = f"[{host}]" if ":" in host else host
        acceptable = is_loopback_address if shown in LOOPBACK_HOSTS and self._loopback else is_public
        if not all(map(acceptable, addresses)):
            raise DocumentUnreadable("document_address_forbidden", "the host is not on the public internet")
        return addresses


class _Pinned(httpcore2.AsyncNetworkBackend):
    """Connects to the checked addresses, one after the other, whatever name is asked for."""

    def __init__(self, backend: httpcore2.AsyncNetworkBackend, addresses: Sequence[str]) -> None:
        self._backend = backend
        self._addresses = addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore2
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = httpcore2.ConnectError(host)
        for address in self._addresses:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout or _CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


def _check_answer(status: int, headers: dict[bytes, bytes]) -> None:
    if 300 <= status < 400:
        raise DocumentUnreadable("document_redirect", "the host redirects elsewhere, which is not followed")
    if status in {404, 410}:
        raise DocumentUnreadable(
            "document_gone", f"the host says that there is none (status {status})", gone=True
        )
    if status != 200:
        raise DocumentUnreadable("document_status", f"the host answered with status {status}")
    media_type = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    if media_type != b"application/json" and not (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    ):
        raise DocumentUnreadable("document_media_type", "the host answered with something that is not JSON")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise DocumentUnreadable("document_encoding", "the host compressed it, although it was not asked to")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:20]) > _LARGEST:
        raise _too_large()


def _too_large() -> DocumentUnreadable:
    return DocumentUnreadable("document_too_large", "it is larger than 5 KB")


def _parse(body: bytes) -> object:
    try:
        document: object = json.loads(body)
        # What is not Unicode, or not a number that JSON knows, could not be stored.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise DocumentUnreadable("document_not_json", "it is not JSON") from None
    return document


def _fresh_for(cache_control: bytes) -> timedelta:
    """How long to use the document (RFC 9111 §5.2.2), inside our bounds."""
    directives = [part.strip() for part in cache_control.decode("latin-1").lower().split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return _SHORTEST_CACHING
    for directive in directives:
        name, _, value = directive.partition("=")
        seconds = value.strip('"')
        if name == "max-age" and seconds.isascii() and seconds.isdigit():
            asked = timedelta(seconds=min(int(seconds[:10]), _LONGEST_CACHING.total_seconds()))
            return max(_SHORTEST_CACHING, asked)
    return _USUAL_CACHING
