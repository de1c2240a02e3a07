"""A client that holds a key and makes DPoP proofs with it, right ones and wrong ones (RFC 9449 §4.2)."""

import base64
import hashlib
import itertools
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_numbers = itertools.count(1)
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def base64url(octets: bytes) -> str:
    """Without padding, as JOSE writes it."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def number(value: int, octets: int | None = None) -> str:
    """An integer as a JWK has it."""
    return base64url(value.to_bytes(octets or (value.bit_length() + 7) // 8, "big"))


class Prover:
    """Holds a private key of an algorithm; a new one, unless one is given."""

    def __init__(self, algorithm: str = "ES256", key: PrivateKey | None = None) -> None:
        self.algorithm = algorithm
        self.key = key or _generate(algorithm)

    @property
    def jwk(self) -> dict[str, str]:
        """The public key."""
        public = self.key.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            point = public.public_numbers()
            octets = (public.key_size + 7) // 8
            return {
                "kty": "EC",
                "crv": {"secp256r1": "P-256", "secp384r1": "P-384"}[public.curve.name],
                "x": number(point.x, octets),
                "y": number(point.y, octets),
            }
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url(public.public_bytes_raw())}

    @property
    def thumbprint(self) -> str:
        """RFC 7638: the required members in the order of the alphabet, hashed."""
        members = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        return base64url(hashlib.sha256(members.encode()).digest())

    def proof(
        self,
        method: str,
        url: str,
        now: datetime,
        access_token: str | None = None,
        *,
        header: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A proof for a request, with changes to its claims and its header; `...` leaves one out."""
        claims = {
            "jti": f"proof {next(_numbers)}",
            "htm": method,
            "htu": url,
            "iat": int(now.timestamp()),
            **({} if access_token is None else {"ath": ath(access_token)}),
            **changes,
        }
        told = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk, **(header or {})}
        return self.sign(*({k: v for k, v in part.items() if v is not ...} for part in (told, claims)))

    def sign(self, header: object, claims: object) -> str:
        """Whatever it is, in compact form, signed."""
        parts = (base64url(json.dumps(part).encode()) for part in (header, claims))
        signed = ".".join(parts)
        return f"{signed}.{base64url(self._signature(signed.encode()))}"

    def _signature(self, message: bytes) -> bytes:
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            octets = (self.key.key_size + 7) // 8
            pair = decode_dss_signature(self.key.sign(message, ec.ECDSA(hashes.SHA256())))
            return b"".join(value.to_bytes(octets, "big") for value in pair)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(message)


def ath(access_token: str) -> str:
    """The hash that binds a proof to an access token."""
    return base64url(hashlib.sha256(access_token.encode()).digest())


def _generate(algorithm: str) -> PrivateKey:
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == "ES256"
        else ed25519.Ed25519PrivateKey.generate()
    )
