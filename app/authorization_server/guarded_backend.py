"""Connections to addresses that somebody typed: on the public internet, and to this server itself, never to what else
is inside (server-side request forgery).
"""

from collections.abc import Iterable
from typing import Any

import httpcore2

from app.authorization_server.document_fetcher import Egress
from app.authorization_server.public_addresses import is_public
from app.visitor import NotAdmitted

_CONNECT_SECONDS = 2.0
_MOST_TRIED = 4


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves each name once, checks every address, and connects to a checked one: what the name leads to a moment
    later does not count.

    Args:
        own: host (as URLs are parsed, without brackets) and port of this server, if there is one; it may be inside.
    """

    def __init__(self, egress: Egress, own: tuple[str, int] | None = None) -> None:
        self._egress = egress
        self._own = own

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore2
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._egress.resolver.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(host) from error
        if (host, port) != self._own and not all(map(is_public, addresses)):
            raise NotAdmitted(host)
        failure: Exception = httpcore2.ConnectError(host)
        for address in addresses[:_MOST_TRIED]:
            try:
                return await self._egress.backend.connect_tcp(
                    address, port, timeout or _CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure
