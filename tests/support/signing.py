"""A client that authenticates with assertions that it signs (`private_key_jwt`), right ones and wrong ones."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.dpop import Prover
from tests.support.world import World

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_numbers = itertools.count(1)


@dataclass
class SigningClient:
    """A key and its name; `client_id` is known once the client is registered."""

    prover: Prover = field(default_factory=Prover)
    kid: str = "key-1"
    client_id: str = ""

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as the client publishes it."""
        return {**self.prover.jwk, "kid": self.kid, "use": "sig", "alg": self.prover.algorithm}

    @property
    def jwks(self) -> dict[str, Any]:
        """The JWK set."""
        return {"keys": [self.jwk]}

    def claims(self, world: World, **changes: Any) -> dict[str, Any]:
        """What a good assertion says; a change to None leaves a claim out."""
        now = int(world.clock.now().timestamp())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": world.settings.public_url,
            "jti": f"assertion {next(_numbers)}",
            "iat": now,
            "exp": now + 60,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(self, world: World, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A signed assertion, with changes to its header and its claims."""
        kind = {"alg": self.prover.algorithm, "kid": self.kid, "typ": "JWT", **(header or {})}
        kind = {name: value for name, value in kind.items() if value is not None}
        return self.prover.sign(kind, self.claims(world, **changes))

    def proof(self, world: World, assertion: str | None = None, **changes: Any) -> dict[str, str]:
        """The form fields that authenticate it."""
        assertion = self.assertion(world, **changes) if assertion is None else assertion
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


async def register_signing(
    world: World, signer: SigningClient | None = None, **metadata: Any
) -> tuple[dict[str, Any], SigningClient]:
    """A client that registered its key, unless told otherwise."""
    signer = signer or SigningClient()
    wanted = {"token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks, **metadata}
    client = await world.register(**{name: value for name, value in wanted.items() if value is not None})
    signer.client_id = client["client_id"]
    return client, signer
