"""Proof key for code exchange, method S256 only (RFC 7636)."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode

from app.oauth.errors import InvalidRequest

METHOD = "S256"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # base64url of 32 bytes without padding
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")  # RFC 7636 §4.1


def check_challenge(challenge: str | None, method: str | None) -> str:
    """Return the challenge of an authorization request.

    Raises:
        InvalidRequest: it is missing, malformed, or not made with S256 (RFC 7636 §4.4.1). A missing method
            means `plain`, which this server does not take.
    """
    if challenge is None:
        raise InvalidRequest("code_challenge is required (PKCE with S256).")
    if method != METHOD:
        raise InvalidRequest("code_challenge_method must be S256.")
    if not _CHALLENGE.match(challenge):
        raise InvalidRequest("code_challenge is malformed.")
    return challenge


def proves(verifier: str, challenge: str) -> bool:
    """Whether the verifier belongs to the challenge (RFC 7636 §4.6)."""
    if not _VERIFIER.match(verifier):
        return False
    digest = urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")
    return hmac.compare_digest(digest, challenge)
