"""DPoP at the endpoints of this server: where tokens are issued (RFC 9449 §5, §8, §10.1), and where one is used (§7).

A client that sends a proof gets tokens that are bound to its key. Refuses, in this order:
 1. no proof where one is required: at the token endpoint of a client
    that registered `dpop_bound_access_tokens`                              invalid_dpop_proof
 2. what `app.oauth.dpop` refuses                                           invalid_dpop_proof, use_dpop_nonce
 3. a proof that was used before, at whichever replica                      invalid_dpop_proof
"""

from collections.abc import Sequence
from datetime import datetime

from app.authorization_server.access_tokens import LiveToken
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.authorization_server.replay import PROOFS, spend_identifier
from app.database import Transaction
from app.oauth.credentials import Keys
from app.oauth.dpop import Nonces, Presented, Proof, WrongBinding, check_binding, verify_proof
from app.oauth.errors import InvalidDPoPProof, InvalidToken
from app.oauth.features import Feature


def nonces_of(keys: Keys, policy: Policy) -> Nonces | None:
    """This server's nonces; None where proofs need none."""
    if not (policy.dpop_nonces and policy.has(Feature.DPOP)):
        return None
    return Nonces(keys.authentication_keys("dpop-nonce"))


async def prove_possession(
    tx: Transaction,
    keys: Keys,
    policy: Policy,
    client: Client,
    proofs: Sequence[str],
    url: str,
    now: datetime,
    *,
    required: bool,
) -> str | None:
    """The thumbprint of the key that the sender of a POST to `url` proved to hold; None where no proof was sent.

    Args:
        proofs: the values of the request's DPoP headers; while DPoP is switched off, they mean nothing.

    Raises:
        InvalidDPoPProof, UseDPoPNonce: as the head of this file says.
    """
    if not proofs or not policy.has(Feature.DPOP):
        if required:
            raise InvalidDPoPProof(
                "This client must send a DPoP proof.", reason="proof_missing", client_id=client.client_id
            )
        return None
    try:
        proof = verify_proof(proofs, "POST", [url], now, nonces_of(keys, policy))
    except InvalidDPoPProof as error:
        error.client_id = client.client_id
        raise
    await _spend(tx, proof, client)
    return proof.key


async def check_possession(
    tx: Transaction,
    keys: Keys,
    policy: Policy,
    presented: Presented,
    live: LiveToken,
    method: str,
    url: str,
    now: datetime,
) -> None:
    """Hold whoever uses one of our access tokens at this server to its binding.

    Raises:
        InvalidToken, InvalidDPoPProof, UseDPoPNonce: as `app.oauth.dpop.check_binding`, and a used proof.
    """
    key = live.claims["cnf"]["jkt"] if "cnf" in live.claims else None
    try:
        proof = check_binding(presented, key, method, [url], now, nonces_of(keys, policy))
        if proof is not None:
            await _spend(tx, proof, live.client)
    except WrongBinding as error:
        raise InvalidToken(
            str(error),
            scheme=presented.scheme,
            reason="wrong_binding",
            client_id=live.client.client_id,
        ) from None
    except InvalidDPoPProof as error:
        error.client_id = live.client.client_id
        raise error.at_resource() from None


async def _spend(tx: Transaction, proof: Proof, client: Client) -> None:
    if not await spend_identifier(tx, PROOFS, proof.identifier, proof.expires_at):
        raise InvalidDPoPProof(
            "The DPoP proof was used before.", reason="proof_replayed", client_id=client.client_id
        )
