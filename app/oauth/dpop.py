"""DPoP proofs: whoever sends a request shows that they hold a private key (RFC 9449).

A proof is refused, in this order (§4.3), with `invalid_dpop_proof` unless something else is said:
 1. more than one DPoP header
 2. anything but one JWT that is signed with the public key in its own header: asymmetric, of an allowed algorithm,
    without a private key, `typ` `dpop+jwt`
 3. a claim that is missing or of another type
 4. `htm` or `htu` of another request
 5. where nonces are asked for: none, or one that is not ours or too old           use_dpop_nonce
 6. where they are not: `iat` too long ago or too far ahead
 7. `exp` or `nbf`, which no proof needs, that say that it is not valid now
Replay is the caller's to refuse, and who is bound to the key: `Proof` says what is needed for both.
"""

import hashlib
import hmac
import json
import math
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.oauth import jwt
from app.oauth.errors import InvalidDPoPProof, UseDPoPNonce
from app.oauth.uris import InvalidURI, normal_target

ALGORITHMS = jwt.FOREIGN_ALGORITHMS
PROOF_TYPE = "dpop+jwt"
# Of the Authorization header, and token types: of tokens that are bound to a key, and of all others (RFC 6750).
DPOP, BEARER = "DPoP", "Bearer"
_SCHEMES = {scheme.lower(): scheme for scheme in (DPOP, BEARER)}
# How old a proof may be, and how far ahead of ours its maker's clock may run.
OLDEST = timedelta(seconds=60)
AHEAD = timedelta(seconds=10)
# A nonce is good in the stretch of time in which it is given out, and in the next one.
NONCE_STRETCH = timedelta(seconds=150)
# Replicas remember a proof so much longer than they accept it.
_CLOCKS_DIFFER = timedelta(minutes=1)
_LONGEST_JTI = 512


class Nonces:
    """Nonces of this server: one for everybody and for a stretch of time (RFC 9449 §8).

    They are derived, so nothing is stored, and every process with the same keys knows them.

    Args:
        keys: of 32 bytes each, the present one first.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def current(self, now: datetime) -> str:
        """The nonce to give out."""
        return _nonce(self._keys[0], _stretch(now))

    def accepts(self, nonce: str, now: datetime) -> bool:
        """Whether it is one of ours and not too old. Nonces are no secret: everyone gets them by asking."""
        latest = _stretch(now)
        return any(nonce == _nonce(key, number) for key in self._keys for number in (latest, latest - 1))


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified proof.

    Args:
        key: the RFC 7638 thumbprint of the key that its maker holds (`jkt`).
        identifier: may be presented once: the same for the same `jti` of the same key at the same URL (§11.1).
        expires_at: from when on every replica refuses it as too old.
        access_token_hash: `ath`, if it is made for use with an access token.
    """

    key: str
    identifier: str
    expires_at: datetime
    access_token_hash: str | None


def verify_proof(
    headers: Sequence[str], method: str, urls: Collection[str], now: datetime, nonces: Nonces | None
) -> Proof:
    """Verify the proof of a request.

    Args:
        headers: the values of its DPoP headers, at least one.
        method: of the request.
        urls: where the request went, as the world spells it: one URL, or several that lead to the same place.
        nonces: this server's, if a proof must hold one: that tells the time then, and the maker's clock may be wrong.

    Raises:
        InvalidDPoPProof: as the head of this file says.
        UseDPoPNonce: the proof is good, but it needs a nonce.
    """
    if len(headers) != 1:
        raise InvalidDPoPProof("Only one DPoP header may be sent.", reason="proof_repeated")
    try:
        proof = jwt.verify_self_signed(headers[0], PROOF_TYPE)
    except jwt.InvalidJWT:
        raise InvalidDPoPProof(
            "The DPoP proof must be a JWT of type dpop+jwt, signed with the public key in its header.",
            reason="proof_malformed",
        ) from None
    claims = proof.claims
    jti = _text(claims, "jti")
    if len(jti) > _LONGEST_JTI:
        raise InvalidDPoPProof("jti of the DPoP proof is too long.", reason="proof_malformed")
    target = _check_target(claims, method, urls)
    lifetime = _check_time(claims, now, nonces)
    ath = claims.get("ath")
    return Proof(
        key=proof.thumbprint,
        identifier=json.dumps([proof.thumbprint, target, jti]),
        expires_at=now + lifetime + _CLOCKS_DIFFER,
        access_token_hash=ath if isinstance(ath, str) else None,
    )


@dataclass(frozen=True, slots=True)
class Presented:
    """An access token as a request brings it.

    Args:
        scheme: of the Authorization header: `DPOP` or `BEARER`.
        proofs: the values of the DPoP headers.
    """

    scheme: str
    token: str
    proofs: tuple[str, ...] = ()


class WrongBinding(Exception):
    """The access token is not the caller's to use in this way; the text says why, for `invalid_token`."""


def read_presented(authorization: str | None, proofs: Sequence[str]) -> Presented | None:
    """The access token of an `Authorization` header (RFC 6750 §2.1, RFC 9449 §7.1); None where there is none.

    The scheme's case does not matter.
    """
    name, _, token = (authorization or "").strip().partition(" ")
    scheme, token = _SCHEMES.get(name.lower()), token.strip()
    return Presented(scheme, token, tuple(proofs)) if scheme and token else None


def check_binding(
    presented: Presented,
    key: str | None,
    method: str,
    urls: Collection[str],
    now: datetime,
    nonces: Nonces | None,
) -> Proof | None:
    """Whether an access token is presented as its binding asks (RFC 9449 §7); the proof, where it asks for one.

    Args:
        key: the thumbprint that the token is bound to (`cnf.jkt`); None for a bearer token.

    Raises:
        WrongBinding: another scheme, another key, or a proof that was made for another token.
        InvalidDPoPProof, UseDPoPNonce: as `verify_proof`.
    """
    if key is None:
        if presented.scheme != BEARER:
            raise WrongBinding("The access token is not bound to a key.")
        return None
    if presented.scheme != DPOP:
        raise WrongBinding("The access token is bound to a key, and goes with the scheme DPoP alone.")
    if not presented.proofs:
        raise InvalidDPoPProof("A DPoP proof is required.", reason="proof_missing")
    proof = verify_proof(presented.proofs, method, urls, now, nonces)
    if proof.key != key:
        raise WrongBinding("The access token is bound to another key.")
    if proof.access_token_hash != access_token_hash(presented.token):
        raise WrongBinding("The DPoP proof is not made for this access token.")
    return proof


def access_token_hash(access_token: str) -> str:
    """What `ath` must be for this access token (RFC 9449 §4.2)."""
    return _base64url(hashlib.sha256(access_token.encode()).digest())


def _check_target(claims: Mapping[str, Any], method: str, urls: Collection[str]) -> str:
    if _text(claims, "htm") != method:
        raise InvalidDPoPProof("htm of the DPoP proof names another method.", reason="proof_htm")
    htu = _text(claims, "htu")
    try:
        target = normal_target(htu)
    except InvalidURI:
        raise InvalidDPoPProof("htu of the DPoP proof must be an absolute URL.", reason="proof_htu") from None
    if target not in {normal_target(url) for url in urls}:
        raise InvalidDPoPProof("htu of the DPoP proof names another URL.", reason="proof_htu")
    return target


def _check_time(claims: Mapping[str, Any], now: datetime, nonces: Nonces | None) -> timedelta:
    """How long the proof can be presented at most."""
    made, ends, begins = _number(claims, "iat"), _number(claims, "exp", math.inf), _number(claims, "nbf", 0)
    if nonces is not None:
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not nonces.accepts(nonce, now):
            raise UseDPoPNonce(nonces.current(now))
    elif not (now - OLDEST).timestamp() <= made <= (now + AHEAD).timestamp():
        raise InvalidDPoPProof("iat of the DPoP proof is not now.", reason="proof_iat")
    if now.timestamp() >= ends or begins > (now + AHEAD).timestamp():
        raise InvalidDPoPProof("The DPoP proof is not valid now.", reason="proof_lifetime")
    return OLDEST + AHEAD if nonces is None else 2 * NONCE_STRETCH


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidDPoPProof(f"{name} of the DPoP proof must be a text.", reason="proof_malformed")
    return value


def _number(claims: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    # Nothing equals NaN, which is no number, but which JSON parsers let in.
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        raise InvalidDPoPProof(f"{name} of the DPoP proof must be a number.", reason="proof_malformed")
    return value


def _stretch(now: datetime) -> int:
    return int(now.timestamp() // NONCE_STRETCH.total_seconds())


def _nonce(key: bytes, stretch: int) -> str:
    return _base64url(hmac.digest(key, f"nonce {stretch}".encode(), hashlib.sha256)[:16])


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
