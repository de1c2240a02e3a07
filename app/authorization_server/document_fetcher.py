"""Reads JSON from addresses that strangers choose, guarded: metadata documents of clients (draft-01 §4, §6.5, §6.6)
and JWK sets.

The name is resolved once, every address is checked, and only a checked address is connected: a name that resolves to
something else a moment later gains nothing. TLS and `Host` keep the name.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import zip_longest
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpcore2

from app.authorization_server.public_addresses import is_loopback_address, is_public
from app.oauth.uris import LOOPBACK_HOSTS, host_of

_CONNECT_SECONDS = 2.0
# Of each address family: a name with a thousand addresses must not make a flood of us.
_MOST_TRIED = 2
# What headers, and the frames around a body, may take besides the body itself.
_OVERHEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of document: how large it may be, and the bounds within which its host says for how long it is good.

    `slug` begins the reasons in the audit record.
    """

    slug: str
    largest: int
    shortest_caching: timedelta
    usual_caching: timedelta
    longest_caching: timedelta


METADATA_DOCUMENT = Kind("document", 5 * 1024, timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))
DISCOVERY = Kind("discovery", 64 * 1024, timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))
# A key that was withdrawn must not be good for much longer.
JWK_SET = Kind("keys", 32 * 1024, timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=1))


class Resolver(Protocol):
    """Turns a host name into addresses; called once a fetch."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Every address of the host.

        Raises:
            OSError: the name has none.
        """
        ...


class SystemResolver:
    """The machine's own resolver. A name server that hangs holds one of these threads, also when nobody waits for it
    any more, but never a request."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(64, "resolver")

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
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
        loopback: whether documents on this computer may be read: where nobody but this computer reaches this server.
        trusted: URLs that the operator chose: their hosts may be inside.
    """

    def __init__(self, egress: Egress, *, loopback: bool, trusted: Collection[str] = ()) -> None:
        self._egress = egress
        self._loopback = loopback
        self._trusted = set(trusted)

    def trust(self, url: str) -> None:
        """Read this URL wherever its host is: the operator chose it, or whoever they chose named it."""
        self._trusted.add(url)

    async def fetch(self, url: str, kind: Kind) -> Fetched:
        """Fetch a document from a URL that passed `check_document_url`, or that the operator chose.

        Raises:
            DocumentUnreadable: whatever went wrong.
        """
        try:
            async with asyncio.timeout(self._egress.seconds):
                return await self._fetch(url, kind)
        except (TimeoutError, httpcore2.TimeoutException):
            problem = _Problem("timeout", "the host took too long to answer")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError):
            problem = _Problem("unreachable", "there was no secure connection to the host")
        except _Problem as found:
            problem = found
        raise DocumentUnreadable(f"{kind.slug}_{problem.slug}", str(problem), gone=problem.slug == "gone")

    async def _fetch(self, url: str, kind: Kind) -> Fetched:
        target = _target_of(url)
        addresses = await self._checked_addresses(url, target.origin.port)
        headers = [
            ("Host", url.split("/", 3)[2]),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", "Ostiary"),
        ]
        backend = _Pinned(self._egress.backend, addresses, kind.largest + _OVERHEAD)
        # Made anew for each fetch: nothing is shared between hosts, and no proxy is taken from the environment.
        async with (
            httpcore2.AsyncConnectionPool(ssl_context=self._egress.tls, network_backend=backend) as pool,
            pool.stream("GET", target, headers=headers) as response,
        ):
            answered = _headers(response.headers)
            _check_answer(response.status, answered, kind)
            body = b""
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > kind.largest:
                    raise _too_large(kind)
        return Fetched(_parse(body), _fresh_for(answered, kind))

    async def _checked_addresses(self, url: str, port: int) -> Sequence[str]:
        host = host_of(url)
        try:
            addresses = await self._egress.resolver.resolve(host, port)
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses:
            raise _Problem("host_unknown", "the host’s name leads nowhere")
        shown = f"[{host}]" if ":" in host else host
        acceptable = is_loopback_address if shown in LOOPBACK_HOSTS and self._loopback else is_public
        if url not in self._trusted and not all(map(acceptable, addresses)):
            raise _Problem("address_forbidden", "the host is not on the public internet")
        return _few_of(addresses)


class _Problem(Exception):
    """What went wrong, in words; `slug` ends the reason in the audit record."""

    def __init__(self, slug: str, words: str) -> None:
        super().__init__(words)
        self.slug = slug


def _target_of(url: str) -> httpcore2.URL:
    """Exactly the URL: a parser that splits off what stands behind a semicolon would ask for another document."""
    parts = urlsplit(url)
    path = url[len(f"{parts.scheme}://{parts.netloc}") :]
    return httpcore2.URL(scheme=parts.scheme, host=parts.hostname or "", port=parts.port, target=path)


def _few_of(addresses: Sequence[str]) -> Sequence[str]:
    """Some of both families, in turn: one of them may be a dead end for this machine."""
    families: dict[bool, list[str]] = {}
    for address in addresses:
        families.setdefault(":" in address, []).append(address)
    return [each for turn in zip_longest(*families.values()) for each in turn if each][: 2 * _MOST_TRIED]


class _Pinned(httpcore2.AsyncNetworkBackend):
    """Connects to the checked addresses, one after the other, whatever name is asked for.

    Args:
        most: how many bytes are read from one of them at most.
    """

    def __init__(self, backend: httpcore2.AsyncNetworkBackend, addresses: Sequence[str], most: int) -> None:
        self._backend = backend
        self._addresses = addresses
        self._most = most

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
                return _Measured(
                    await self._backend.connect_tcp(
                        address, port, timeout or _CONNECT_SECONDS, local_address, socket_options
                    ),
                    self._most,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


class _Measured(httpcore2.AsyncNetworkStream):
    """A connection that ends when the other side sends too much: interim answers, for one, never end by themselves."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, most: int) -> None:
        self._stream = stream
        self._left = most

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface
        data = await self._stream.read(max_bytes, timeout)
        self._left -= len(data)
        if self._left < 0:
            raise httpcore2.ReadError("too much")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
    ) -> httpcore2.AsyncNetworkStream:
        return _Measured(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """By name; what is repeated counts as one list (RFC 9110 §5.2)."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        known = joined.get(name.lower())
        joined[name.lower()] = value if known is None else known + b"," + value
    return joined


def _check_answer(status: int, headers: dict[bytes, bytes], kind: Kind) -> None:
    if 300 <= status < 400:
        raise _Problem("redirect", "the host redirects elsewhere, which is not followed")
    if status in {404, 410}:
        raise _Problem("gone", f"the host says that there is none (status {status})")
    if status != 200:
        raise _Problem("status", f"the host answered with status {status}")
    media_type = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    if media_type != b"application/json" and not (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    ):
        raise _Problem("media_type", "the host answered with something that is not JSON")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise _Problem("encoding", "the host compressed it, although it was not asked to")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:20]) > kind.largest:
        raise _too_large(kind)


def _too_large(kind: Kind) -> _Problem:
    return _Problem("too_large", f"it is larger than {kind.largest // 1024} KB")


def _parse(body: bytes) -> object:
    try:
        document: object = json.loads(body)
        # What is not Unicode, or not a number that JSON knows, could not be stored.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise _Problem("not_json", "it is not JSON") from None
    return document


def _fresh_for(headers: dict[bytes, bytes], kind: Kind) -> timedelta:
    """How long to use the document (RFC 9111 §4.2, §5.2.2), inside our bounds."""
    directives = [
        part.strip() for part in headers.get(b"cache-control", b"").decode("latin-1").lower().split(",")
    ]
    if "no-store" in directives or "no-cache" in directives:
        return kind.shortest_caching
    age = _seconds(headers.get(b"age", b"").decode("latin-1")) or timedelta()
    for directive in directives:
        name, _, value = directive.partition("=")
        if name == "max-age" and (asked := _seconds(value.strip('"'))) is not None:
            return min(max(kind.shortest_caching, asked - age), kind.longest_caching)
    return kind.usual_caching


def _seconds(text: str) -> timedelta | None:
    return timedelta(seconds=int(text[:9])) if text.isascii() and text.isdigit() else None
