"""Proofs by themselves, without a server: one request that they are for, and what refuses them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.oauth.dpop import Nonces, Proof, verify_proof
from app.oauth.errors import InvalidDPoPProof

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://auth.example/oauth/token"


def verify(*proofs: str, nonces: Nonces | None = None, now: datetime = NOW) -> Proof:
    """Verify the proofs of a POST to `URL`."""
    return verify_proof(proofs, "POST", [URL], now, nonces)


def assert_good(proof: str, nonces: Nonces | None = None) -> None:
    """The proof is accepted."""
    assert len(verify(proof, nonces=nonces).key) == 43


def assert_refused(proof: str, **more: Any) -> InvalidDPoPProof:
    """The proof is refused, in words that can stand in any header, and nothing of it is told back."""
    with pytest.raises(InvalidDPoPProof) as refused:
        verify(proof, **more)
    assert refused.value.error == "invalid_dpop_proof"
    assert refused.value.description.isascii()
    assert not set('"\\') & set(refused.value.description)
    return refused.value
