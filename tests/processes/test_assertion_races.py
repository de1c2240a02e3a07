"""One assertion, twenty at once over two processes: it proves who sent it once, wherever it arrives."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

from tests.processes import flow
from tests.processes.conftest import Pair
from tests.processes.flow import AT_ONCE
from tests.support.signing import ASSERTION_TYPE, SigningClient

ROUNDS = 10


async def test_of_twenty_uses_of_one_assertion_exactly_one_is_accepted(pair: Pair) -> None:
    """RFC 7523 §3: a jti is remembered across replicas."""
    async with flow.connections() as http:
        signer = SigningClient()
        client = await flow.register(
            http, pair[0], token_endpoint_auth_method="private_key_jwt", jwks=signer.jwks
        )
        signer.client_id, issuer = client["client_id"], pair[0].resource.removesuffix("/mcp")
        now = int(datetime.now(UTC).timestamp())
        for number_of_round in range(ROUNDS):
            claims = {"iss": signer.client_id, "sub": signer.client_id, "aud": issuer, "exp": now + 600}
            assertion = signer.prover.sign(
                {"alg": "ES256", "kid": signer.kid}, {**claims, "jti": f"round {number_of_round}"}
            )

            answers = await asyncio.gather(
                *(_revoke(pair[number % 2].url, assertion) for number in range(AT_ONCE))
            )

            assert Counter(answers) == {200: 1, 401: AT_ONCE - 1}


async def _revoke(at: str, assertion: str) -> int:
    """Authenticate, for nothing; each time from another address, so that no limit is in the way."""
    form = {"token": "unknown", "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    async with flow.connections() as http:
        return (await http.post(f"{at}/oauth/revoke", data=form)).status_code
