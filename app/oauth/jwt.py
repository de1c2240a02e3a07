"""The one door to JOSE (joserfc): sign, verify, seal. Algorithms are allow-listed, `typ` is checked by name."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

ALGORITHM = "ES256"
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - RFC 9068 §2.1, a media type
ID_TOKEN_TYPE = "JWT"  # noqa: S105 - what libraries expect of ID tokens, which have no type of their own
# What strangers may sign with. EdDSA is the older name of Ed25519 (RFC 9864 §2.2).
FOREIGN_ALGORITHMS = ("ES256", "Ed25519", "EdDSA", "RS256")

LONGEST = 8192
_PROOF_RSA_BITS = range(2048, 4096 + 1)
# Of keys that are published: they need not fit into a header.
PUBLISHED_RSA_BITS = range(2048, 8192 + 1)
_LONGEST_RSA_EXPONENT = 6  # characters: 32 bits; a longer one makes verifying slow
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518 §6

ForeignKey = ECKey | OKPKey | RSAKey


# What parsing untrusted JSON, keys and signatures can end in.
_FAILURES = (JoseError, ValueError, TypeError, LookupError, RecursionError)


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


@dataclass(frozen=True, slots=True)
class SelfSigned:
    """What a JWT says that brought its own public key: who made it holds the private one, and nothing else is known.

    `thumbprint` is the key's (RFC 7638, SHA-256).
    """

    claims: dict[str, Any]
    thumbprint: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """A JWT that nobody verified yet: good for looking up who could have signed it, and for nothing else."""

    token: str
    algorithm: str
    kid: str | None
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _KeyForm:
    """How a public key of an algorithm is written: members with one value, and those with any."""

    key_class: type[ForeignKey]
    fixed: Mapping[str, str]
    free: tuple[str, ...]


_ED25519 = _KeyForm(OKPKey, {"kty": "OKP", "crv": "Ed25519"}, ("x",))
_KEY_FORMS = {
    "ES256": _KeyForm(ECKey, {"kty": "EC", "crv": "P-256"}, ("x", "y")),
    "Ed25519": _ED25519,
    "EdDSA": _ED25519,
    "RS256": _KeyForm(RSAKey, {"kty": "RSA"}, ("n", "e")),
}


class _ForeignRegistry(JWSRegistry):
    """What joserfc accepts of strangers: headers large enough for a key, and parameters that nobody here knows."""

    max_header_length = 4096
    max_signature_length = 1366  # characters: of an RSA key of 8192 bits

    def get_alg(self, name: str) -> Any:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


_foreign_registry = _ForeignRegistry(algorithms=FOREIGN_ALGORITHMS, strict_check_header=False)


class _SealedRegistry(JWERegistry):
    """What joserfc opens: all that it sealed for us, however large it is."""

    max_ciphertext_length = 2**31


_sealed_registry = _SealedRegistry(algorithms=["dir", "A256GCM"])


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


def read_verification_keys(jwk_set: Mapping[str, Any]) -> dict[str, VerificationKey]:
    """The keys of a JWK set with which our kind of tokens is verified, by id; others are passed over (RFC 7517 §5)."""
    listed = jwk_set.get("keys")
    found: dict[str, VerificationKey] = {}
    for jwk in listed if isinstance(listed, list) else ():
        try:
            key = cast("ECKey", import_foreign_key(jwk, ALGORITHM))
        except InvalidJWT:
            continue
        if isinstance(kid := jwk.get("kid"), str):
            found[kid] = VerificationKey(kid, key)
    return found


def sign(claims: Mapping[str, Any], key: SigningKey, token_type: str) -> str:
    """A signed JWT in compact form."""
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": token_type}, dict(claims), key.key)


def verify(token: str, keys: Mapping[str, VerificationKey], token_type: str) -> dict[str, Any]:
    """The claims of a token that one of these keys signed. Times and audience are the caller's to check.

    Raises:
        InvalidJWT: anything about the token is wrong.
    """
    return verify_and_name_key(token, keys, token_type)[0]


def verify_and_name_key(
    token: str, keys: Mapping[str, VerificationKey], token_type: str
) -> tuple[dict[str, Any], str]:
    """The same, and the id of the key.

    Raises:
        InvalidJWT: anything about the token is wrong.
    """
    try:
        kid = str(_unverified_header(token, token_type).get("kid"))
        key = keys.get(kid)
        if key is None:
            raise InvalidJWT("unknown kid")
        return dict(jwt.decode(token, key.key, algorithms=[ALGORITHM]).claims), kid
    except _FAILURES as error:
        raise InvalidJWT(type(error).__name__) from error


def verify_self_signed(token: str, token_type: str) -> SelfSigned:
    """The claims of a token that is signed with the public key in its own header (RFC 7515 §4.1.3).

    Raises:
        InvalidJWT: anything about the token or its key is wrong.
    """
    try:
        header = _unverified_header(token, token_type)
        key = import_foreign_key(header.get("jwk"), header.get("alg"))
        claims = jwt.decode(token, key, registry=_foreign_registry).claims
    except _FAILURES as error:
        raise InvalidJWT(type(error).__name__) from error
    return SelfSigned(dict(claims), key.thumbprint())


def read_unverified(token: str, token_types: Collection[str], algorithms: Collection[str]) -> Unverified:
    """What a stranger's JWT says of itself.

    Args:
        token_types: which `typ` it may have, in lower case; the empty text for none.

    Raises:
        InvalidJWT: not a signed JWT, of another type, or of an algorithm that is not allowed.
    """
    try:
        header = _unverified_header(token, *token_types)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in algorithms or not isinstance(kid, str | None):
            raise InvalidJWT("alg or kid is not acceptable")
        claims = _json_object(_decoded(token.split(".")[1]).decode())
    except _FAILURES as error:
        raise InvalidJWT(type(error).__name__) from error
    return Unverified(token, algorithm, kid, claims)


def verify_foreign(unverified: Unverified, key: ForeignKey) -> dict[str, Any]:
    """The claims of a stranger's JWT that was signed with the private half of this key.

    Raises:
        InvalidJWT: it was not.
    """
    registry = _ForeignRegistry(algorithms=[unverified.algorithm], strict_check_header=False)
    try:
        return dict(jwt.decode(unverified.token, key, registry=registry).claims)
    except _FAILURES as error:
        raise InvalidJWT(type(error).__name__) from error


def import_foreign_key(jwk: object, algorithm: object, rsa_bits: range = _PROOF_RSA_BITS) -> ForeignKey:
    """A stranger's public key for one of `FOREIGN_ALGORITHMS`, from its JWK; other members are not looked at.

    Raises:
        InvalidJWT: not a public key for this algorithm, too weak, too costly, or not in its one canonical spelling
            (two spellings of a key would have two thumbprints).
    """
    form = _KEY_FORMS.get(algorithm) if isinstance(algorithm, str) else None
    if form is None:
        raise InvalidJWT("alg is not allowed")
    if not isinstance(jwk, Mapping) or PRIVATE_MEMBERS & jwk.keys():
        raise InvalidJWT("no public key")
    members = {name: jwk.get(name) for name in (*form.fixed, *form.free)}
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    if texts != members or not form.fixed.items() <= texts.items():
        raise InvalidJWT("no key of this algorithm")
    try:
        if form.key_class is RSAKey and not _is_moderate(texts, rsa_bits):
            raise InvalidJWT("RSA key too small or too large")
        # A JWK's type is wider than what joserfc says it takes.
        key = form.key_class.import_key(dict(texts))
        canonical = form.key_class.import_key(key.raw_value).as_dict(private=False)  # type: ignore[arg-type]
    except _FAILURES as error:
        raise InvalidJWT(type(error).__name__) from error
    if canonical != texts:
        raise InvalidJWT("key not in its canonical spelling")
    return key


def _is_moderate(members: Mapping[str, str], rsa_bits: range) -> bool:
    modulus = int.from_bytes(_decoded(members["n"]), "big")
    return modulus.bit_length() in rsa_bits and len(members["e"]) <= _LONGEST_RSA_EXPONENT


def claimed_issuer(token: str) -> str | None:
    """The `iss` that a token claims, unverified; None when it is no JWT or has none."""
    try:
        issuer = _json_object(_decoded(token.split(".")[1]).decode()).get("iss")
    except (ValueError, IndexError, RecursionError):
        return None
    return issuer if isinstance(issuer, str) else None


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
        plaintext = jwe.decrypt_compact(sealed, OctKey.import_key(key), registry=_sealed_registry).plaintext
    except (JoseError, ValueError):
        return None
    return plaintext.decode() if plaintext is not None else None


def _unverified_header(token: str, *token_types: str) -> dict[str, Any]:
    if len(token) > LONGEST:
        raise InvalidJWT("too long")
    header = _json_object(_decoded(token.split(".", 1)[0]).decode())
    if str(header.get("typ", "")).lower().removeprefix("application/") not in map(str.lower, token_types):
        raise InvalidJWT("wrong typ")
    if "crit" in header:
        raise InvalidJWT("crit names an extension, and none is known here")  # RFC 7515 §4.1.11
    return header


def _decoded(encoded: str) -> bytes:
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - callers catch ValueError
    return value
