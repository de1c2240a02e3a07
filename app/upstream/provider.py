"""What every provider can do, and how all of them are reached."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote_plus

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.client import OAuth2Client

from app.accounts.upstream import Ticket, Vouched, Welcome

SECONDS = 10.0
_BASIC = "client_secret_basic"
_LARGEST = 256 * 1024


class ProviderFailed(Exception):
    """The provider can't be reached, or what it says can't be used.

    Args:
        reason: a slug for the audit record.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What the browser brought back: a code, and who says that it is from them (RFC 9207)."""

    code: str
    issuer: str | None
    redirect_uri: str


class Provider(Protocol):
    """One of `SIGN_IN_PROVIDERS`."""

    id: str
    label: str
    welcome: Welcome

    @property
    def issuer(self) -> str:
        """Under which name identities of this provider are kept."""
        ...

    async def prepare(self, now: datetime) -> None:
        """Learn what is needed to send somebody there.

        Raises:
            ProviderFailed
        """
        ...

    def address(self, ticket: Ticket, redirect_uri: str, *, fresh: bool) -> str:
        """Where a browser is sent; `fresh` when the person has to show anew who they are. After `prepare`."""
        ...

    async def redeem(self, answer: Answer, ticket: Ticket, now: datetime) -> Vouched:
        """Whom the provider vouches for. No transaction may be open.

        Raises:
            ProviderFailed
        """
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are at a provider."""

    client_id: str
    client_secret: str
    scope: str
    # At the token endpoint; None to go by what the provider says of itself.
    method: str | None = None


def authorization_address(
    endpoint: str, credentials: Credentials, ticket: Ticket, redirect_uri: str, **more: str
) -> str:
    """Where a browser is sent (RFC 6749 §4.1.1, RFC 7636 §4.3)."""
    client = OAuth2Client(
        session=None,
        client_id=credentials.client_id,
        scope=credentials.scope,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
    )
    address, _ = client.create_authorization_url(endpoint, ticket.state, ticket.verifier, **more)
    return str(address)


@asynccontextmanager
async def oauth_client(credentials: Credentials, redirect_uri: str) -> AsyncIterator[AsyncOAuth2Client]:
    """A client for a few requests: no redirects, no proxies of the environment, bounded in time and size.

    Raises:
        ProviderFailed: whatever went wrong in the block.
    """
    try:
        async with (
            asyncio.timeout(SECONDS),
            AsyncOAuth2Client(
                credentials.client_id,
                credentials.client_secret,
                token_endpoint_auth_method=credentials.method or _BASIC,
                scope=credentials.scope,
                redirect_uri=redirect_uri,
                code_challenge_method="S256",
                follow_redirects=False,
                timeout=SECONDS,
                transport=_Bounded(),
            ) as client,
        ):
            client.register_client_auth_method((_BASIC, _with_secret))
            yield client
    except TimeoutError:
        raise ProviderFailed("timeout") from None
    except httpx2.HTTPError as error:
        raise ProviderFailed("unreachable") from error
    except OAuthError as error:
        raise ProviderFailed("code_refused") from error


async def read_json(client: AsyncOAuth2Client, url: str) -> Any:
    """What the provider says to the bearer of the access token.

    Raises:
        ProviderFailed
    """
    response = await client.get(url, headers={"Accept": "application/json", "User-Agent": "Ostiary"})
    if response.status_code != 200:
        raise ProviderFailed("person_unreadable")
    try:
        return response.json()
    except (ValueError, RecursionError):
        raise ProviderFailed("person_unreadable") from None


async def redeem_code(
    client: AsyncOAuth2Client, endpoint: str, code: str, verifier: str
) -> Mapping[str, Any]:
    """The token response (RFC 6749 §5.1). The tokens serve to learn who it is, and are kept nowhere.

    Raises:
        ProviderFailed
    """
    try:
        token = await client.fetch_token(
            endpoint, code=code, code_verifier=verifier, headers={"Accept": "application/json"}
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        # What Authlib makes of an answer that is no token response.
        raise ProviderFailed("code_refused") from None
    if not isinstance(token, Mapping) or not isinstance(token.get("access_token"), str):
        raise ProviderFailed("code_refused")
    return token


def _with_secret(client: Any, _method: str, url: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
    """HTTP Basic as RFC 6749 §2.3.1 spells it: both halves form-encoded first, which Authlib leaves out."""
    pair = ":".join(quote_plus(half) for half in (client.client_id, client.client_secret))
    headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return url, headers, body


class _Bounded(httpx2.AsyncBaseTransport):
    """Reads no more than a bounded amount of an answer, whatever its headers say."""

    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.RemoteProtocolError("encoded, although nobody asked for that")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_BoundedStream(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._inner:
            read += len(chunk)
            if read > _LARGEST:
                raise httpx2.RemoteProtocolError("too large")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
