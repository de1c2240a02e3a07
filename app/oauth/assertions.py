"""JWTs that strangers sign, to prove who they are or to vouch for someone (RFC 7521, RFC 7523), and the JWK sets in
which they publish their keys (RFC 7517).

An assertion is refused, in this order, before anybody looks at what it says:
 1. too long, no JWT, an extension that must be understood (`crit`), a `typ` that the caller does not allow
 2. `none`, HMAC, or any algorithm besides RS256 and ES256
 3. a `kid` that the key set does not hold; without one, a set in which not exactly one key fits
 4. a signature of another key
Keys are used as their owner means them: a key for encryption, or for another algorithm, verifies nothing.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.oauth import jwt
from app.oauth.jwt import InvalidJWT, Unverified

ALGORITHMS = ("RS256", "ES256")
# How far the clocks of others may differ from ours.
LEEWAY = timedelta(seconds=60)
_ALGORITHM_OF = {"RSA": "RS256", "EC": "ES256"}
_MOST_KEYS = 50
# Keys of one name that are tried: a set may hold the old one and the new one under it while they change.
_MOST_TRIED = 3
_LONGEST_KID = 500


class InvalidKeySet(ValueError):
    """Not a JWK set that can be used; the message says why, as the end of a sentence."""


class NoUsableKey(InvalidKeySet):
    """A JWK set of public keys, none of which verifies what is signed here."""


class UnknownKey(InvalidJWT):
    """The key set holds no key that could have signed this: perhaps it was read before the key came in."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies the signatures of one algorithm."""

    kid: str | None
    algorithm: str
    key: jwt.ForeignKey

    @property
    def jwk(self) -> dict[str, Any]:
        """The key and what it is for, and nothing else that stood beside it."""
        named = {} if self.kid is None else {"kid": self.kid}
        return {**self.key.as_dict(private=False), **named, "use": "sig", "alg": self.algorithm}


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a JWK set."""

    keys: tuple[PublicKey, ...]

    @property
    def jwks(self) -> dict[str, Any]:
        """The JWK set of these keys (RFC 7517 §5)."""
        return {"keys": [key.jwk for key in self.keys]}

    def candidates(self, kid: str | None, algorithm: str) -> Sequence[PublicKey]:
        """The few keys that could have signed a JWT with this header."""
        fitting = [key for key in self.keys if key.algorithm == algorithm]
        if kid is None:
            return fitting if len(fitting) == 1 else ()
        return [key for key in fitting if key.kid == kid][:_MOST_TRIED]


def read_key_set(document: object) -> KeySet:
    """Read a JWK set. Keys of kinds that are not used here are passed over (RFC 7517 §5).

    Raises:
        InvalidKeySet: not a JWK set, or one that gives away a private or shared key.
        NoUsableKey: a JWK set without a usable key.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InvalidKeySet("must be a JWK set: an object with a list of keys")
    if len(entries) > _MOST_KEYS:
        raise InvalidKeySet(f"must hold at most {_MOST_KEYS} keys")
    if any(jwt.PRIVATE_MEMBERS & entry.keys() for entry in entries):
        raise InvalidKeySet("must hold public keys only")
    keys = tuple(key for entry in entries if (key := _usable_key(entry)) is not None)
    if not keys:
        raise NoUsableKey("must hold a key for RS256 (2048 to 8192 bits) or ES256 (P-256)")
    return KeySet(keys)


def _usable_key(jwk: Mapping[str, Any]) -> PublicKey | None:
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    algorithm = _ALGORITHM_OF.get(str(jwk.get("kty")))
    if algorithm is None or jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    # A name that could not be stored, or that nobody could send in a header, names nothing.
    if kid is not None and not (isinstance(kid, str) and kid.isprintable() and len(kid) <= _LONGEST_KID):
        return None
    try:
        return PublicKey(kid, algorithm, jwt.import_foreign_key(jwk, algorithm, jwt.PUBLISHED_RSA_BITS))
    except InvalidJWT:
        return None


def read_assertion(token: str, token_types: Collection[str]) -> Unverified:
    """What an assertion says of itself, for finding the keys of the one who claims to have signed it.

    Args:
        token_types: which `typ` it may have, in lower case and without `application/`; the empty text for none.

    Raises:
        InvalidJWT: rules 1 and 2 of the head of this file.
    """
    return jwt.read_unverified(token, token_types, ALGORITHMS)


def verify_assertion(assertion: Unverified, keys: KeySet) -> dict[str, Any]:
    """The claims of an assertion that the owner of these keys signed. Who may say what is the caller's to check.

    Raises:
        UnknownKey: rule 3 of the head of this file.
        InvalidJWT: rule 4.
    """
    candidates = keys.candidates(assertion.kid, assertion.algorithm)
    for candidate in candidates:
        try:
            return jwt.verify_foreign(assertion, candidate.key)
        except InvalidJWT:
            continue
    if not candidates:
        raise UnknownKey("no key fits")
    raise InvalidJWT("wrong signature")


def check_times(claims: Mapping[str, Any], now: datetime, longest: timedelta) -> datetime:
    """Hold an assertion to its times: `exp` must be there and near, `nbf` and `iat` must not lie ahead (RFC 7523 §3).

    Returns:
        From when on it is refused as too old, whatever its signature.

    Raises:
        InvalidJWT: it is not good now, or is good for too long.
    """
    earliest, latest = (now - LEEWAY).timestamp(), (now + LEEWAY).timestamp()
    ends = _number(claims, "exp")
    # Written so that what is no number at all (NaN, which JSON parsers let in) is refused.
    if not all(_number(claims, name, -math.inf) <= latest for name in ("iat", "nbf")) or not earliest < ends:
        raise InvalidJWT("not valid now")
    if ends > (now + LEEWAY + longest).timestamp():
        raise InvalidJWT("valid for too long")
    return datetime.fromtimestamp(ends, UTC) + LEEWAY


def _number(claims: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidJWT(f"{name} must be a number")
    return value
