"""The one builder of every 401 and 403 of the resource (RFC 6750 §3, RFC 9728 §5.1)."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.oauth.errors import InvalidDPoPProof, UseDPoPNonce


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
        proof_algorithms: what DPoP proofs may be signed with; none where they mean nothing.

    Who uses the scheme DPoP is answered in it (RFC 9449 §7.1). The others are answered in Bearer, and told by a
    second header that there is DPoP too: clients that know Bearer alone read the first.
    """

    def __init__(
        self, resource_metadata: str, scopes: Collection[str], proof_algorithms: Collection[str] = ()
    ) -> None:
        self._resource_metadata = resource_metadata
        self._scopes = tuple(scopes)
        self._algorithms = f'algs="{" ".join(proof_algorithms)}"' if proof_algorithms else ""

    def unauthenticated(self) -> Challenge:
        """No credentials, or none of ours: no error code (RFC 6750 §3.1)."""
        return self._build(401, None, "Authorization is required.", self._scopes)

    def invalid_token(self, description: str, *, dpop: bool = False) -> Challenge:
        """A token that is not good here; `dpop` tells that it came with the scheme DPoP."""
        return self._build(401, "invalid_token", description, self._scopes, dpop)

    def invalid_proof(self, error: InvalidDPoPProof) -> Challenge:
        """A DPoP proof that is not good here, or lacks the nonce that the answer names (RFC 9449 §7.1, §9)."""
        challenge = self._build(401, error.error, error.description, self._scopes, dpop=True)
        if isinstance(error, UseDPoPNonce):
            challenge.headers.append((b"dpop-nonce", error.nonce.encode()))
        return challenge

    def insufficient_scope(self, scopes: Collection[str], *, dpop: bool = False) -> Challenge:
        """A good token that allows too little; `scopes` is everything that the operation needs."""
        return self._build(403, "insufficient_scope", "The access token does not allow this.", scopes, dpop)

    def _build(
        self, status: int, error: str | None, description: str, scopes: Collection[str], dpop: bool = False
    ) -> Challenge:
        parts = [f'resource_metadata="{self._resource_metadata}"']
        if scopes:
            parts.append(f'scope="{" ".join(scopes)}"')
        if error is not None:
            parts += [f'error="{error}"', f'error_description="{description}"']
        challenges = [f"Bearer {', '.join(parts)}"]
        if dpop:
            challenges = [f"DPoP {', '.join([*parts, self._algorithms])}"]
        elif self._algorithms and status == 401:
            challenges.append(f"DPoP {self._algorithms}")
        headers = [(b"www-authenticate", challenge.encode()) for challenge in challenges]
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


def with_reference(challenge: Challenge, reference: str) -> Challenge:
    """The same refusal, with the reference under which the operator finds it."""
    body = json.dumps({**json.loads(challenge.body), "error_reference": reference}).encode()
    headers = [
        (name, str(len(body)).encode() if name == b"content-length" else value)
        for name, value in challenge.headers
    ]
    return Challenge(challenge.status, headers, body)
