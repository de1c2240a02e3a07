"""The one builder of every 401 and 403 of the resource (RFC 6750 §3, RFC 9728 §5.1)."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Challenge:
    """A refusal: status, headers and JSON body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Challenges:
    """Builds refusals for one resource.

    Args:
        resource_metadata: absolute URL of its RFC 9728 document.
        scopes: what a client should ask for to use it; never `offline_access`.
    """

    def __init__(self, resource_metadata: str, scopes: Collection[str]) -> None:
        self._resource_metadata = resource_metadata
        self._scopes = tuple(scopes)

    def unauthenticated(self) -> Challenge:
        """No credentials, or none of ours: no error code (RFC 6750 §3.1)."""
        return self._build(401, None, "Authorization is required.", self._scopes)

    def invalid_token(self, description: str) -> Challenge:
        """A token that is not good here."""
        return self._build(401, "invalid_token", description, self._scopes)

    def insufficient_scope(self, scopes: Collection[str]) -> Challenge:
        """A good token that allows too little; `scopes` is everything that the operation needs."""
        return self._build(403, "insufficient_scope", "The access token does not allow this.", scopes)

    def _build(self, status: int, error: str | None, description: str, scopes: Collection[str]) -> Challenge:
        parts = [f'resource_metadata="{self._resource_metadata}"']
        if scopes:
            parts.append(f'scope="{" ".join(scopes)}"')
        if error is not None:
            parts += [f'error="{error}"', f'error_description="{description}"']
        headers = [(b"www-authenticate", f"Bearer {', '.join(parts)}".encode())]
        body = {"error": error or "unauthorized", "error_description": description}
        return refusal(status, body, headers)


def refusal(
    status: int, body: Mapping[str, Any], headers: list[tuple[bytes, bytes]] | None = None
) -> Challenge:
    """A JSON refusal that nobody may cache."""
    encoded = json.dumps(body).encode()
    common = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(encoded)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return Challenge(status, [*common, *(headers or [])], encoded)
