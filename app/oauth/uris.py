"""Issuer, resource and redirect URIs as strings: made canonical once, compared exactly.

URL types that normalise (a slash after the issuer, say) don't belong here: clients compare byte by byte.
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, unquote_plus, urlsplit

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST = 2000
_LONGEST_CLIENT_ID = 1000
# RFC 3986's characters; everything else (space, control, backslash, non-ASCII) is refused, so that no two readers
# of a URI can disagree about where its host ends.
_URI_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_REVERSE_DOMAIN = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)+\Z")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\Z"
)
_LOOPBACK_REDIRECT = re.compile(
    r"(http://(?:localhost|127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?((?:[/?].*)?)\Z"
)

# What URL parsers take for an IPv4 address although it is none in its usual spelling: 2130706433, 0x7f.1, 0177.0.0.1.
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]\Z")
_DOT_SEGMENT = re.compile(r"(?:\.|%2[eE]){1,2}\Z")

# Schemes of editors and assistants that register themselves although RFC 8252 §7.1 asks for a dotted name.
PRIVATE_USE_SCHEMES = frozenset(
    {
        *("cursor", "vscode", "vscode-insiders", "vscodium", "code-oss", "windsurf", "windsurf-next", "trae"),
        *("kiro", "antigravity", "positron", "qoder", "zed", "jetbrains", "warp"),
        *("claude", "chatgpt", "codex", "opencode", "goose", "devin", "lmstudio", "raycast"),
    }
)
# Never a redirect target, whatever the operator allows: the browser itself would act on them.
FORBIDDEN_SCHEMES = frozenset(
    {
        "javascript",
        "data",
        "file",
        "vbscript",
        "blob",
        "about",
        "view-source",
        "filesystem",
        "ftp",
        "ws",
        "wss",
        "mailto",
        "tel",
        "sms",
        "intent",
        "jar",
        "chrome",
        "chrome-extension",
        "moz-extension",
        "ms-settings",
        "search-ms",
        "ms-msdt",
        "ms-appinstaller",
        "resource",
        "res",
        "mhtml",
        "ldap",
        "smb",
        "ssh",
    }
)

# What an authorization response adds, each exactly once (RFC 6749 §4.1.2, RFC 9207 §2).
_ANSWER_NAMES = {"code", "state", "iss", "error", "error_description", "error_uri"}


class InvalidURI(ValueError):
    """The URI is not acceptable; the message says why in words for a developer."""


def canonical_url(url: str) -> str:
    """An absolute http(s) URL in the one spelling that is stored and compared.

    Scheme and host in lower case, no default port, no trailing slash; no userinfo, query or fragment.

    Raises:
        InvalidURI: it is not such a URL.
    """
    parts = _split(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidURI("must be an absolute http or https URL")
    if "#" in url or "?" in url:
        raise InvalidURI("must have no query and no fragment")
    path = parts.path.rstrip("/")
    if any(segment in {".", ".."} for segment in path.split("/")):
        raise InvalidURI("must have no dot segments")
    return _origin(parts) + path


def normal_target(url: str) -> str:
    """The target of a request in the form in which two of them are compared (RFC 9449 §4.3, RFC 3986 §6.2.2, §6.2.3).

    Query and fragment don't count; two spellings of the same path are one.

    Raises:
        InvalidURI: it is no absolute http(s) URL.
    """
    parts = _split(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidURI("must be an absolute http or https URL")
    return _origin(parts) + _normal_path(parts.path)


def is_loopback(url: str) -> bool:
    """Whether a canonical URL points at this computer."""
    return _host(urlsplit(url)) in LOOPBACK_HOSTS


def is_client_id_url(client_id: str) -> bool:
    """Whether a client id claims to be the address of a metadata document; says nothing about its being a good one."""
    return client_id.lower().startswith(("https:", "http:"))


def check_client_id_url(url: str, *, loopback: bool) -> str:
    """A client id that is the address of the client's metadata document, unchanged (draft-01 §3).

    Args:
        loopback: whether documents on this computer are allowed too, also without TLS: for development only.

    Raises:
        InvalidURI: it is not such an address, or not in its one canonical spelling.
    """
    if len(url) > _LONGEST_CLIENT_ID:
        raise InvalidURI(f"must have at most {_LONGEST_CLIENT_ID} characters")
    parts = _split(url)
    host = _host(parts)
    if not url.startswith("https://") and not (
        loopback and host in LOOPBACK_HOSTS and url.startswith("http://")
    ):
        raise InvalidURI("must start with https://")
    port = "" if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    if not _is_canonical_host(host) or parts.netloc != host + port:
        raise InvalidURI("must have a host in its canonical spelling")
    if "#" in url:
        raise InvalidURI("must have no fragment")
    if parts.path in {"", "/"}:
        raise InvalidURI("must have a path")
    if any(_DOT_SEGMENT.match(segment) for segment in parts.path.split("/")):
        raise InvalidURI("must have no dot segments")
    return url


def host_of(url: str) -> str:
    """The host of a URL that was checked, without the brackets of an IPv6 address."""
    return urlsplit(url).hostname or ""


def check_redirect_uri(uri: str, private_use_schemes: Collection[str]) -> str:
    """A redirect URI that may be registered, unchanged.

    `https` anywhere, `http` on loopback, or a private-use scheme (RFC 8252 §7): dotted, or listed by the operator.

    Raises:
        InvalidURI: it may not.
    """
    scheme_match = _SCHEME.match(uri)
    if not _URI_CHARACTERS.match(uri) or scheme_match is None:
        raise InvalidURI("redirect URIs must be absolute and hold only URI characters")
    if len(uri) > _LONGEST:
        raise InvalidURI("redirect URIs must be shorter than 2000 characters")
    if "#" in uri:
        raise InvalidURI("redirect URIs must not have a fragment")
    scheme = scheme_match[1].lower()
    if scheme in FORBIDDEN_SCHEMES:
        raise InvalidURI("redirect URIs must not use this scheme")
    if scheme in _DEFAULT_PORTS:
        parts = _split(uri)
        if not uri.startswith(scheme + "://"):
            raise InvalidURI("redirect URIs must spell their scheme in lower case")
        if scheme == "http" and _host(parts) not in LOOPBACK_HOSTS:
            raise InvalidURI("redirect URIs must use https, except on loopback")
    else:
        _check_private_use(scheme, uri, private_use_schemes)
    names = {unquote_plus(pair.partition("=")[0]) for pair in uri.partition("?")[2].split("&")}
    if names & _ANSWER_NAMES:
        raise InvalidURI("redirect URIs must not carry parameters of the answer in their own query")
    return uri


def check_private_use_scheme(scheme: str) -> str:
    """A scheme that an operator allows redirect URIs to have, in lower case.

    Raises:
        InvalidURI: it is none, or one that the browser itself would act on.
    """
    lowered = scheme.lower()
    if _SCHEME.fullmatch(f"{lowered}:") is None:
        raise InvalidURI("must be a URI scheme without its colon")
    if lowered in FORBIDDEN_SCHEMES or lowered in _DEFAULT_PORTS:
        raise InvalidURI("must not be a scheme that browsers act on")
    return lowered


def _check_private_use(scheme: str, uri: str, private_use_schemes: Collection[str]) -> None:
    if not _REVERSE_DOMAIN.match(scheme) and scheme not in private_use_schemes:
        raise InvalidURI("redirect URIs with a private-use scheme need a reverse domain name as their scheme")
    if any(letter in uri for letter in "[]@"):
        # Nothing that could be taken for a user name or an address: the page shows what stands there as a host.
        raise InvalidURI("redirect URIs with a private-use scheme must not hold brackets or an at sign")


def redirect_uri_matches(registered: str, requested: str) -> bool:
    """Simple string comparison, except that a loopback redirect may use any port (RFC 8252 §7.3)."""
    if registered == requested:
        return True
    ours, theirs = _LOOPBACK_REDIRECT.match(registered), _LOOPBACK_REDIRECT.match(requested)
    if ours is None or theirs is None or "#" in requested or not _URI_CHARACTERS.match(requested):
        return False
    port_fits = theirs[2] is None or 1 <= int(theirs[2]) <= 65535
    return port_fits and ours[1] == theirs[1] and ours[3] == theirs[3]


def without_loopback_port(uri: str) -> str:
    """A redirect URI as those see it who don't look at the port on loopback."""
    loopback = _LOOPBACK_REDIRECT.match(uri)
    return uri if loopback is None else loopback[1] + loopback[3]


@dataclass(frozen=True, slots=True)
class RedirectTarget:
    """Where an answer goes, as a person is told: to this computer, to a web host, or to an installed app."""

    kind: Literal["loopback", "web", "app"]
    scheme: str
    host: str
    port: int | None

    @property
    def label(self) -> str:
        """The shortest honest name of the target."""
        if self.kind == "app":
            return f"{self.scheme}://{self.host}" if self.host else f"{self.scheme}:"
        return f"{self.host}:{self.port}" if self.port is not None else self.host


def redirect_target(uri: str) -> RedirectTarget:
    """Take apart a redirect URI that passed `check_redirect_uri`."""
    parts = urlsplit(uri)
    scheme = parts.scheme
    if scheme not in _DEFAULT_PORTS:
        return RedirectTarget("app", scheme, parts.netloc, None)
    host = _host(parts)
    return RedirectTarget("loopback" if host in LOOPBACK_HOSTS else "web", scheme, host, parts.port)


def _split(url: str) -> SplitResult:
    if not _URI_CHARACTERS.match(url):
        raise InvalidURI("must hold only URI characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidURI("must have a valid host and port") from None
    if "@" in parts.netloc:
        raise InvalidURI("must not carry a user name")
    if port == 0 or parts.netloc.endswith(":"):
        raise InvalidURI("must have a valid host and port")
    host = _host(parts)
    if ("[" in parts.netloc or not _HOST.match(host)) and not _is_ipv6(host):
        raise InvalidURI("must have a valid host and port")
    return parts


def _origin(parts: SplitResult) -> str:
    port = parts.port
    shown_port = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{_host(parts)}{shown_port}"


def _normal_path(path: str) -> str:
    """A path without needless percent encoding and without dot segments (RFC 3986 §6.2.2)."""
    kept: list[str] = []
    segments = _ENCODED.sub(_normal_octet, path).split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _normal_octet(encoded: re.Match[str]) -> str:
    letter = chr(int(encoded[1], 16))
    return letter if _UNRESERVED.match(letter) else encoded[0].upper()


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    return f"[{host}]" if ":" in host else host


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return host.startswith("[")


def _is_canonical_host(host: str) -> bool:
    try:
        if host.startswith("["):
            return host == f"[{ipaddress.IPv6Address(host[1:-1])}]" and "%" not in host
        if _NUMERIC_LABEL.match(host.rpartition(".")[2]):
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
