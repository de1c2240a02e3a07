"""The one door to JOSE (joserfc): sign, verify, seal. Algorithms are allow-listed, `typ` is checked by name."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

ALGORITHM = "ES256"
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - RFC 9068 §2.1, a media type

LONGEST = 8192


class InvalidJWT(Exception):
    """The token is not one of ours: malformed, wrongly signed, of another type or without a needed claim."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, parsed once (parsing it for each token costs more than signing)."""

    kid: str
    key: ECKey

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The public half as it stands in the JWK set (RFC 7517 §4)."""
        return public_jwk(self.kid, self.key)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, parsed once."""

    kid: str
    key: ECKey


def generate_signing_key() -> SigningKey:
    """A new P-256 key; its id is the RFC 7638 thumbprint, so it can't be reused for another key."""
    key = ECKey.generate_key("P-256", private=True)
    return SigningKey(key.thumbprint(), key)


def public_jwk(kid: str, key: ECKey) -> dict[str, Any]:
    """The JWK that anyone may see."""
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}


def import_signing_key(kid: str, private_jwk: str) -> SigningKey:
    """Parse a private JWK in JSON."""
    return SigningKey(kid, ECKey.import_key(_json_object(private_jwk)))


def export_signing_key(key: SigningKey) -> str:
    """The private JWK in JSON; to be sealed before it is stored."""
    return json.dumps(key.key.as_dict(private=True))


def import_verification_key(jwk: Mapping[str, Any]) -> VerificationKey:
    """Parse a public JWK."""
    return VerificationKey(str(jwk["kid"]), ECKey.import_key({k: v for k, v in jwk.items() if k != "d"}))


def sign(claims: Mapping[str, Any], key: SigningKey, token_type: str) -> str:
    """A signed JWT in compact form."""
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": token_type}, dict(claims), key.key)


def verify(token: str, keys: Mapping[str, VerificationKey], token_type: str) -> dict[str, Any]:
    """The claims of a token that one of these keys signed. Times and audience are the caller's to check.

    Raises:
        InvalidJWT: anything about the token is wrong.
    """
    if len(token) > LONGEST:
        raise InvalidJWT("too long")
    try:
        header = _unverified_header(token)
        if str(header.get("typ", "")).lower().removeprefix("application/") != token_type:
            raise InvalidJWT("wrong typ")
        if "crit" in header:
            raise InvalidJWT("crit names an extension, and none is known here")  # RFC 7515 §4.1.11
        key = keys.get(str(header.get("kid")))
        if key is None:
            raise InvalidJWT("unknown kid")
        return dict(jwt.decode(token, key.key, algorithms=[ALGORITHM]).claims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidJWT(type(error).__name__) from error


def seal(plaintext: str, key: bytes) -> str:
    """Encrypt stored material: JWE with direct AES-256-GCM (RFC 7516)."""
    return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, plaintext.encode(), OctKey.import_key(key))


def unseal(sealed: str, keys: list[bytes]) -> str:
    """Decrypt what `seal` made under one of these keys.

    Raises:
        InvalidJWT: none of them fits.
    """
    for key in keys:
        if (plaintext := try_unseal(sealed, key)) is not None:
            return plaintext
    raise InvalidJWT("no key opens this")


def try_unseal(sealed: str, key: bytes) -> str | None:
    """Decrypt what `seal` made under this key; None when it was another."""
    try:
        plaintext = jwe.decrypt_compact(
            sealed, OctKey.import_key(key), algorithms=["dir", "A256GCM"]
        ).plaintext
    except (JoseError, ValueError):
        return None
    return plaintext.decode() if plaintext is not None else None


def _unverified_header(token: str) -> dict[str, Any]:
    encoded = token.split(".", 1)[0]
    return _json_object(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - callers catch ValueError
    return value
