"""JWTs that strangers sign, and the JWK sets in which they publish their keys."""

import base64
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.oauth.assertions import (
    LEEWAY,
    InvalidKeySet,
    KeySet,
    UnknownKey,
    check_times,
    read_assertion,
    read_key_set,
    verify_assertion,
)
from app.oauth.jwt import InvalidJWT
from tests.support.dpop import Prover, base64url, number

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LONGEST = timedelta(hours=1)
RSA, EC, OTHER, EDWARDS = Prover("RS256"), Prover("ES256"), Prover("ES256"), Prover("Ed25519")
TYPES = frozenset({"", "jwt", "client-authentication+jwt"})
CLAIMS = {"iss": "someone"}


def named(signer: Prover, kid: str | None, **members: Any) -> dict[str, Any]:
    """A public key as it stands in a set."""
    return {**signer.jwk, **({} if kid is None else {"kid": kid}), **members}


def read(*keys: dict[str, Any]) -> KeySet:
    return read_key_set({"keys": list(keys)})


def claims_of(token: str, keys: KeySet) -> dict[str, Any]:
    return verify_assertion(read_assertion(token, TYPES), keys)


# ---------------------------------------------------------------------------------------------- key sets
def test_a_set_keeps_what_can_verify_and_passes_over_the_rest() -> None:
    keys = read(
        named(RSA, "r", x5t="aGVsbG8", use="sig", alg="RS256", key_ops=["verify"]),
        named(EC, "e"),
        named(OTHER, None),
        named(RSA, "encrypts", use="enc"),
        named(RSA, "wraps", key_ops=["wrapKey"]),
        named(RSA, "operations are a text", key_ops="verify"),
        named(RSA, "pss", alg="PS256"),
        named(EC, "other curve", crv="P-384"),
        named(EC, "x\x00"),
        named(EC, "k" * 501),
        {**EC.jwk, "kid": 7},
        named(EDWARDS, "edwards"),
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": ["RSA"]},
        {},
    )

    assert [(key.kid, key.algorithm) for key in keys.keys] == [
        ("r", "RS256"),
        ("e", "ES256"),
        (None, "ES256"),
    ]
    assert keys.jwks["keys"][0] == {**RSA.jwk, "kid": "r", "use": "sig", "alg": "RS256"}
    assert keys.jwks["keys"][2] == {**OTHER.jwk, "use": "sig", "alg": "ES256"}
    assert read_key_set(keys.jwks).jwks == keys.jwks


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(None, id="nothing"),
        pytest.param([EC.jwk], id="list"),
        pytest.param(EC.jwk, id="one key"),
        pytest.param({"keys": EC.jwk}, id="keys is an object"),
        pytest.param({"keys": [EC.jwk, "key"]}, id="key is a text"),
        pytest.param({"keys": []}, id="empty"),
        pytest.param({"keys": [EDWARDS.jwk]}, id="nothing usable"),
        pytest.param({"keys": [EC.jwk] * 51}, id="too many"),
        pytest.param({"keys": [EC.jwk, {**OTHER.jwk, "d": "AA"}]}, id="private"),
        pytest.param({"keys": [EC.jwk, {**RSA.jwk, "p": "AA", "q": "AA"}]}, id="prime factors"),
        pytest.param({"keys": [EC.jwk, {"kty": "oct", "k": "AA"}]}, id="symmetric"),
        pytest.param({"keys": [{"kty": "RSA", "n": number(2**2046 + 1), "e": "AQAB"}]}, id="2047 bits"),
        pytest.param({"keys": [{"kty": "RSA", "n": number(2**8192 + 1), "e": "AQAB"}]}, id="8193 bits"),
        pytest.param({"keys": [{**RSA.jwk, "e": number(2**64 + 1)}]}, id="costly exponent"),
        pytest.param({"keys": [{**RSA.jwk, "e": "AQ"}]}, id="exponent 1"),
        pytest.param({"keys": [{**EC.jwk, "y": number(1, 32)}]}, id="not on the curve"),
        pytest.param({"keys": [{"kty": "EC", "crv": "P-256"}]}, id="no coordinates"),
    ],
)
def test_what_is_no_usable_set_of_public_keys_is_refused(document: object) -> None:
    with pytest.raises(InvalidKeySet):
        read_key_set(document)


def test_rsa_keys_of_4096_and_8192_bits_verify() -> None:
    signer = Prover("RS256", rsa.generate_private_key(65537, 4096))
    assert claims_of(signer.sign({"alg": "RS256"}, CLAIMS), read(named(signer, None))) == CLAIMS
    # Of 8192 bits none is made here, which takes half a minute; one that was not made from primes is taken as well.
    assert read({"kty": "RSA", "n": number(2**8191 + 1), "e": "AQAB"}).keys


# ---------------------------------------------------------------------------------------------- signatures
@pytest.mark.parametrize("signer", [RSA, EC], ids=["RS256", "ES256"])
@pytest.mark.parametrize(
    "token_type", [None, "JWT", "client-authentication+jwt", "application/Client-Authentication+JWT"]
)
def test_an_assertion_is_verified_with_the_key_that_it_names(signer: Prover, token_type: str | None) -> None:
    header = {"alg": signer.algorithm, "kid": "mine", "unknown": 1} | (
        {"typ": token_type} if token_type else {}
    )
    keys = read(named(OTHER, "other"), named(RSA, "mine"), named(EC, "mine"))

    assert claims_of(signer.sign(header, CLAIMS), keys) == CLAIMS


def test_without_a_name_the_only_key_that_fits_is_taken() -> None:
    token = EC.sign({"alg": "ES256"}, CLAIMS)

    assert claims_of(token, read(named(EC, "e"), named(RSA, "r"))) == CLAIMS
    with pytest.raises(UnknownKey):
        claims_of(token, read(named(EC, "e"), named(OTHER, "o")))


def test_of_keys_with_one_name_a_few_are_tried() -> None:
    crowd = [named(Prover(), "same") for _ in range(3)]
    token = EC.sign({"alg": "ES256", "kid": "same"}, CLAIMS)

    assert claims_of(token, read(*crowd[:2], named(EC, "same"))) == CLAIMS
    with pytest.raises(InvalidJWT, match="wrong signature"):
        claims_of(token, read(*crowd, named(EC, "same")))


@pytest.mark.parametrize(
    ("kid", "algorithm"), [("other", "ES256"), ("E", "ES256"), ("", "ES256"), (None, "RS256"), ("e", "RS256")]
)
def test_a_key_that_the_set_does_not_hold_is_told_apart(kid: str | None, algorithm: str) -> None:
    header = {"alg": algorithm} | ({} if kid is None else {"kid": kid})
    signer = EC if algorithm == "ES256" else RSA

    with pytest.raises(UnknownKey):
        claims_of(signer.sign(header, CLAIMS), read(named(EC, "e")))


def test_another_key_and_a_changed_text_are_refused() -> None:
    keys = read(named(EC, "e"))
    token = EC.sign({"alg": "ES256", "kid": "e"}, CLAIMS)
    head, _, signature = token.split(".")
    changed = ".".join((head, base64url(json.dumps({"iss": "else"}).encode()), signature))
    for forged in (
        OTHER.sign({"alg": "ES256", "kid": "e"}, CLAIMS),
        changed,
        token + "A",
        f"{head}..{signature}",
    ):
        with pytest.raises(InvalidJWT):
            claims_of(forged, keys)


def _hmac_with_the_public_key() -> str:
    """The classic: a server that trusts `alg` takes the public key for a shared secret."""
    header = base64url(json.dumps({"alg": "HS256", "kid": "e"}).encode())
    return f"{header}.{base64url(json.dumps(CLAIMS).encode())}.{base64url(b'x' * 32)}"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("a.b", id="two parts"),
        pytest.param(EC.sign({"alg": "ES256"}, CLAIMS) + ".x.y", id="five parts"),
        pytest.param(EC.sign({"alg": "ES256"}, {"x": "y" * 8192}), id="too long"),
        pytest.param(EC.sign([], CLAIMS), id="header is a list"),
        pytest.param(EC.sign({"alg": "ES256"}, ["iss"]), id="claims are a list"),
        pytest.param(EC.sign({}, CLAIMS), id="no alg"),
        pytest.param(EC.sign({"alg": ["ES256"]}, CLAIMS), id="alg is a list"),
        pytest.param(EC.sign({"alg": "none"}, CLAIMS), id="none"),
        pytest.param(EC.sign({"alg": "none"}, CLAIMS).rpartition(".")[0] + ".", id="none, unsigned"),
        pytest.param(_hmac_with_the_public_key(), id="HS256"),
        pytest.param(EC.sign({"alg": "ES384"}, CLAIMS), id="ES384"),
        pytest.param(RSA.sign({"alg": "PS256"}, CLAIMS), id="PS256"),
        pytest.param(EDWARDS.sign({"alg": "Ed25519"}, CLAIMS), id="Ed25519"),
        pytest.param(EC.sign({"alg": "ES256", "kid": 1}, CLAIMS), id="kid is a number"),
        pytest.param(EC.sign({"alg": "ES256", "crit": ["exp"], "exp": 1}, CLAIMS), id="crit"),
        pytest.param(EC.sign({"alg": "ES256", "crit": ["b64"], "b64": False}, CLAIMS), id="b64"),
        pytest.param(EC.sign({"alg": "ES256", "typ": "at+jwt"}, CLAIMS), id="an access token"),
        pytest.param(EC.sign({"alg": "ES256", "typ": "dpop+jwt"}, CLAIMS), id="a proof"),
        pytest.param(EC.sign({"alg": "ES256", "typ": None}, CLAIMS), id="typ is null"),
        pytest.param("é.e30.x", id="not ASCII"),
        pytest.param(base64url(b"[" * 3000) + ".e30.x", id="deep"),
    ],
)
def test_what_is_no_acceptable_jwt_is_refused(token: str) -> None:
    with pytest.raises(InvalidJWT):
        claims_of(token, read(named(EC, None), named(RSA, None)))


def test_a_signature_must_be_in_its_one_form() -> None:
    """DER, as other protocols write it, is another text of the same signature."""
    header = base64url(json.dumps({"alg": "ES256"}).encode())
    signed = f"{header}.{base64url(json.dumps(CLAIMS).encode())}"
    assert isinstance(EC.key, ec.EllipticCurvePrivateKey)
    signature = EC.sign({"alg": "ES256"}, CLAIMS).rpartition(".")[2]
    raw = base64.urlsafe_b64decode(signature + "==")
    for other in (raw + b"\0", raw[:-1], b"\0" * 64):
        with pytest.raises(InvalidJWT):
            claims_of(f"{signed}.{base64url(other)}", read(named(EC, None)))


# ---------------------------------------------------------------------------------------------- times
def at(**duration: float) -> int:
    return int((NOW + timedelta(**duration)).timestamp())


@pytest.mark.parametrize(
    "times",
    [
        pytest.param({"exp": at(minutes=1)}, id="exp alone"),
        pytest.param({"exp": at(hours=1), "iat": at(), "nbf": at()}, id="all"),
        pytest.param({"exp": at(minutes=1) + 0.5, "iat": at(days=-400)}, id="made long ago"),
        pytest.param(
            {"exp": at(seconds=-59), "iat": at(seconds=60), "nbf": at(seconds=60)}, id="clocks differ"
        ),
        pytest.param({"exp": at(seconds=3660)}, id="the longest"),
    ],
)
def test_an_assertion_is_good_between_its_times(times: dict[str, float]) -> None:
    until = check_times(times, NOW, LONGEST)

    assert until == datetime.fromtimestamp(times["exp"], UTC) + LEEWAY
    assert NOW < until <= NOW + LONGEST + 2 * LEEWAY


@pytest.mark.parametrize(
    "times",
    [
        pytest.param({}, id="no exp"),
        pytest.param({"exp": at(seconds=-60)}, id="over"),
        pytest.param({"exp": at(seconds=3661)}, id="for too long"),
        pytest.param({"exp": at(minutes=1), "iat": at(seconds=61)}, id="made later"),
        pytest.param({"exp": at(minutes=1), "nbf": at(seconds=61)}, id="not yet"),
        pytest.param({"exp": str(at(minutes=1))}, id="exp is a text"),
        pytest.param({"exp": True}, id="exp is true"),
        pytest.param({"exp": at(minutes=1), "iat": None}, id="iat is null"),
        pytest.param({"exp": math.nan}, id="exp is no number"),
        pytest.param({"exp": at(minutes=1), "iat": math.nan}, id="iat is no number"),
        pytest.param({"exp": math.inf}, id="for ever"),
        pytest.param({"exp": 10**400}, id="enormous"),
        pytest.param({"exp": at(minutes=1), "nbf": 10**400}, id="enormous nbf"),
    ],
)
def test_an_assertion_with_wrong_times_is_refused(times: dict[str, Any]) -> None:
    with pytest.raises(InvalidJWT):
        check_times(times, NOW, LONGEST)
