"""Asks servers from outside, as their clients do: one request at a time, each with an end, and nothing is followed.

What went wrong is an answer too (`Silence`): whoever asks wants to tell people about it.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, Self
from urllib.parse import urlsplit

import httpcore2

from app import __version__

USER_AGENT = f"Ostiary/{__version__}"
# More than any document of these protocols; a page that is longer is none of them.
_LONGEST_BODY = 256 * 1024
_STREAM = "text/event-stream"

Problem = Literal[
    "not_a_url",
    "dns",
    "forbidden",
    "refused",
    "timeout",
    "out_of_time",
    "broken",
    "tls_expired",
    "tls_early",
    "tls_host",
    "tls_chain",
    "tls_version",
    "tls_none",
    "tls",
]
# X509_V_ERR_… of OpenSSL, as `ssl.SSLCertVerificationError.verify_code` tells them.
_CERTIFICATE_PROBLEMS: Mapping[int, Problem] = {
    9: "tls_early",
    10: "tls_expired",
    18: "tls_chain",
    19: "tls_chain",
    20: "tls_chain",
    21: "tls_chain",
    62: "tls_host",
    64: "tls_host",
}
_WORDS: Mapping[Problem, str] = {
    "not_a_url": "that is no http or https URL",
    "dns": "the host’s name leads nowhere",
    "forbidden": "the address is not on the public internet, and so is not asked from here",
    "refused": "nothing takes connections there",
    "timeout": "no answer in time",
    "out_of_time": "not asked any more: the examination took too long",
    "broken": "the connection ended without an answer that is HTTP",
    "tls_expired": "the certificate has expired",
    "tls_early": "the certificate is not valid yet",
    "tls_host": "the certificate is for another host",
    "tls_chain": "the certificate was not issued by an authority that is trusted here, or one in between is missing",
    "tls_version": "the server speaks no TLS 1.2 or later",
    "tls_none": "the server does not speak TLS on this port",
    "tls": "no TLS connection comes about",
}


class NotAdmitted(httpcore2.ConnectError):
    """Raised by a network backend that does not connect to everyone."""


class Resolve(Protocol):
    """Turns a host name into addresses."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Every address of the host.

        Raises:
            OSError: the name has none.
        """
        ...


async def resolve(host: str, port: int) -> Sequence[str]:
    """With the machine's own resolver; see `Resolve`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Reach:
    """How others are reached, and how long that may take: one request, and all of them, in seconds."""

    resolve: Resolve = resolve
    backend: httpcore2.AsyncNetworkBackend = field(default_factory=httpcore2.AnyIOBackend)
    tls: ssl.SSLContext = field(default_factory=httpcore2.default_ssl_context)
    each: float = 10.0
    together: float = 180.0


def reach_with(authorities: Path | None) -> Reach:
    """The way from this machine; certificates of these authorities (PEM) are trusted besides.

    Raises:
        OSError: they can't be read.
    """
    tls = httpcore2.default_ssl_context()
    if authorities is not None:
        tls.load_verify_locations(authorities)
    return Reach(tls=tls)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; a stream is left after its headers. `certified_until` is for https alone."""

    method: str
    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float
    certified_until: datetime | None = None

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name: str) -> str | None:
        """A header; repeated ones are one list (RFC 9110 §5.2)."""
        return ", ".join(self.all(name)) or None

    @property
    def media_type(self) -> str:
        """Of the body, without parameters."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def is_html(self) -> bool:
        """Whether a page came where a machine asked."""
        start = self.body.lstrip()[:15].lower()
        return self.media_type == "text/html" or start.startswith((b"<!doctype html", b"<html"))

    @property
    def document(self) -> dict[str, Any] | None:
        """The JSON object in the body, if there is one."""
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return parsed if isinstance(parsed, dict) else None

    @property
    def words(self) -> str:
        """In a few words."""
        kind = " with a page (HTML)" if self.is_html and self.status != 200 else ""
        return f"status {self.status}{kind}"


@dataclass(frozen=True, slots=True)
class Silence:
    """There was no answer, and why."""

    method: str
    url: str
    problem: Problem
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """In a few words."""
        return _WORDS[self.problem]


Reply = Answer | Silence


class Visitor:
    """Asks; to be used in `async with`. Cookies are not kept, redirects not followed, and no proxy is used."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._stack = AsyncExitStack()
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=reach.tls, network_backend=reach.backend)
        self._deadline = 0.0
        self.replies: list[Reply] = []

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._pool)
        self._deadline = _seconds() + self._reach.together
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def addresses(self, url: str) -> Sequence[str]:
        """The addresses of a URL's host; none if its name leads nowhere, or not in time."""
        host, port = _host_and_port(url)
        try:
            async with asyncio.timeout(self._reach.each):
                return await self._reach.resolve(host, port)
        except (OSError, UnicodeError, TimeoutError):
            return []

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        """GET, for JSON unless the headers say otherwise."""
        return await self.ask("GET", url, {"Accept": "application/json", **(headers or {})})

    async def post_json(self, url: str, body: object, headers: Mapping[str, str] | None = None) -> Reply:
        """POST of JSON."""
        told = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        return await self.ask("POST", url, told, json.dumps(body).encode())

    async def post_form(self, url: str, body: str, headers: Mapping[str, str] | None = None) -> Reply:
        """POST of a form that is encoded already."""
        told = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        return await self.ask("POST", url, told, body.encode())

    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """One request. A header of the same name as one of ours takes its place."""
        begun = _seconds()
        left = self._deadline - begun
        if left <= 0:
            return self._keep(Silence(method, url, "out_of_time"))
        try:
            async with asyncio.timeout(min(self._reach.each, left)):
                reply: Reply = await self._ask(method, url, headers, body, begun)
        except (
            OSError,
            httpcore2.TimeoutException,
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
        ) as error:
            reply = Silence(method, url, _problem_of(error), _seconds() - begun)
        except (httpcore2.UnsupportedProtocol, ValueError):
            reply = Silence(method, url, "not_a_url")
        return self._keep(reply)

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, begun: float
    ) -> Answer:
        target = _target_of(url)
        told = {"Host": urlsplit(url).netloc, "User-Agent": USER_AGENT, **headers}
        if body or method not in {"GET", "HEAD", "OPTIONS"}:
            told.setdefault("Content-Length", str(len(body)))
        async with self._pool.stream(method, target, headers=list(told.items()), content=body) as response:
            answered = tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers
            )
            received = b""
            if not any(name == "content-type" and _STREAM in value for name, value in answered):
                async for chunk in response.aiter_stream():
                    received += chunk
                    if len(received) > _LONGEST_BODY:
                        break
            until = _certified_until(response.extensions.get("network_stream"))
        return Answer(method, url, response.status, answered, received, _seconds() - begun, until)

    def _keep(self, reply: Reply) -> Reply:
        self.replies.append(reply)
        return reply


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, as they are spelled."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def path_of(url: str) -> str:
    """The path of a URL without the slash at its end: what is inserted into well-known addresses."""
    return urlsplit(url).path.rstrip("/")


def is_web_url(url: str) -> bool:
    """Whether this is an absolute http(s) URL that can be asked."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and url.isascii()
        )
    except ValueError:
        return False


def is_endpoint_url(url: str) -> bool:
    """Whether this can be the address of an MCP endpoint: without query, fragment and user name."""
    return is_web_url(url) and not any(letter in url for letter in "?#@")


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _target_of(url: str) -> httpcore2.URL:
    """Exactly the URL, as `app.authorization_server.document_fetcher` asks for it."""
    if not is_web_url(url):
        raise ValueError(url)
    parts = urlsplit(url)
    path = url[len(origin_of(url)) :].partition("#")[0]
    if not path.startswith("/"):
        path = f"/{path}"
    return httpcore2.URL(scheme=parts.scheme, host=parts.hostname or "", port=parts.port, target=path)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it came from, and what a group holds."""
    yield error
    inner: Iterable[BaseException | None] = (error.__cause__ or error.__context__,)
    if isinstance(error, BaseExceptionGroup):
        inner = (*inner, *error.exceptions)
    for each in inner:
        if each is not None:
            yield from _chain(each)


def _problem_of(error: BaseException) -> Problem:
    for each in _chain(error):
        match each:
            case NotAdmitted():
                return "forbidden"
            case ssl.SSLCertVerificationError():
                return _CERTIFICATE_PROBLEMS.get(each.verify_code, "tls")
            case ssl.SSLError():
                return _tls_problem(each.reason or "")
            case socket.gaierror():
                return "dns"
            case ConnectionRefusedError():
                return "refused"
            case httpcore2.ReadError() | httpcore2.WriteError() | httpcore2.ProtocolError():
                return "broken"
            case TimeoutError() | httpcore2.TimeoutException():
                return "timeout"
            case _:
                continue
    return "refused"


def _tls_problem(reason: str) -> Problem:
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return "tls_version"
    return "tls_none" if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"} else "tls"


def _certified_until(stream: httpcore2.AsyncNetworkStream | None) -> datetime | None:
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    certificate = tls.getpeercert() if tls is not None else None
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
