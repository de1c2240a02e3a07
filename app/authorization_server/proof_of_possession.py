"""DPoP at the endpoints of this server (RFC 9449 §5, §8, §10.1).

A client that sends a proof gets tokens that are bound to its key. Refuses, in this order:
 1. no proof, from a client that registered `dpop_bound_access_tokens`      invalid_dpop_proof
 2. what `app.oauth.dpop` refuses                                           invalid_dpop_proof, use_dpop_nonce
 3. a proof that was used before, at whichever replica                      invalid_dpop_proof
"""

from collections.abc import Sequence
from datetime import datetime

from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.authorization_server.replay import PROOFS, spend_identifier
from app.database import Transaction
from app.oauth.credentials import Keys
from app.oauth.dpop import Nonces, verify_proof
from app.oauth.errors import InvalidDPoPProof
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
) -> str | None:
    """The thumbprint of the key that the sender of a POST to `url` proved to hold; None where no proof was sent.

    Args:
        proofs: the values of the request's DPoP headers; while DPoP is switched off, they mean nothing.

    Raises:
        InvalidDPoPProof, UseDPoPNonce: as the head of this file says.
    """
    if not proofs or not policy.has(Feature.DPOP):
        if client.requires_proof:
            raise InvalidDPoPProof(
                "This client must send a DPoP proof.", reason="proof_missing", client_id=client.client_id
            )
        return None
    try:
        proof = verify_proof(proofs, "POST", [url], now, nonces_of(keys, policy))
    except InvalidDPoPProof as error:
        error.client_id = client.client_id
        raise
    if not await spend_identifier(tx, PROOFS, proof.identifier, proof.expires_at):
        raise InvalidDPoPProof(
            "The DPoP proof was used before.", reason="proof_replayed", client_id=client.client_id
        )
    return proof.key
