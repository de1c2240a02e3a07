"""The head of a DPoP proof (RFC 9449 §4.2, §4.3): its algorithm and the public key that it brings along."""

import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from app.oauth import dpop, jwt
from tests.proofs import NOW, URL, assert_refused, verify
from tests.support.dpop import Prover, base64url, number

EC = Prover()
RSA = Prover("RS256")


@pytest.mark.parametrize("algorithm", dpop.ALGORITHMS)
def test_a_proof_of_each_advertised_algorithm_is_good(algorithm: str) -> None:
    prover = Prover(algorithm)

    proof = verify(prover.proof("POST", URL, NOW))

    assert proof.key == prover.thumbprint
    assert proof.access_token_hash is None


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """RFC 7638 §3.1 has this key and its thumbprint."""
    key = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF"
        "V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d"
        "0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-c"
        "sFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }

    thumbprint = jwt.import_foreign_key({**key, "alg": "RS256", "kid": "2011-04-29"}, "RS256").thumbprint()

    assert thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    "algorithm",
    [
        ...,
        None,
        "",
        "none",
        "None",
        "HS256",
        "HS512",
        "ES384",
        "ES512",
        "PS256",
        "RS384",
        "RS1",
        "Ed448",
        "es256",
        "x",
        7,
        True,
        [],
        ["ES256"],
        {},
        {"ES256": 1},
    ],
    ids=repr,
)
def test_4_3_5_an_algorithm_off_the_list_is_refused(algorithm: object) -> None:
    for prover in (EC, RSA):
        assert_refused(prover.proof("POST", URL, NOW, header={"alg": algorithm}))


@pytest.mark.parametrize("algorithm", ["none", "NONE"], ids=repr)
def test_4_3_5_an_unsigned_proof_is_refused(algorithm: str) -> None:
    signed = EC.proof("POST", URL, NOW, header={"alg": algorithm})

    assert_refused(signed.rpartition(".")[0] + ".")


def test_4_3_5_a_proof_authenticated_with_the_public_key_as_secret_is_refused() -> None:
    """The confusion of key types (RFC 8725 §2.1), with the key as JSON, as text and as the client may send it."""
    for secret in (json.dumps(EC.jwk).encode(), EC.jwk["x"].encode()):
        jwk = {"kty": "oct", "k": base64url(secret)}
        for header in ({"jwk": EC.jwk}, {"jwk": jwk}, {"jwk": {**EC.jwk, **jwk}}):
            proof = EC.proof("POST", URL, NOW, header={"alg": "HS256", **header})
            signed = proof.rpartition(".")[0]
            assert_refused(f"{signed}.{base64url(hmac.digest(secret, signed.encode(), 'sha256'))}")


def test_4_3_6_a_signature_of_another_key_is_refused() -> None:
    for prover in (EC, RSA, Prover("Ed25519")):
        other = Prover(prover.algorithm)
        assert_refused(prover.proof("POST", URL, NOW, header={"jwk": other.jwk}))


@pytest.mark.parametrize("claim", [{"jti": "other"}, {"htm": "GET"}, {"iat": 0}], ids=repr)
def test_4_3_6_claims_that_were_not_signed_are_refused(claim: dict[str, Any]) -> None:
    header, _, signature = EC.proof("POST", URL, NOW).split(".")
    claims = {"jti": "x", "htm": "POST", "htu": URL, "iat": int(NOW.timestamp()), **claim}

    assert_refused(f"{header}.{base64url(json.dumps(claims).encode())}.{signature}")


SMALL = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the server must refuse it


POINT = EC.jwk
# Changes to a good key.
CHANGES: dict[str, dict[str, Any]] = {
    "kty RSA": {"kty": "RSA"},
    "kty oct": {"kty": "oct"},
    "kty in lower case": {"kty": "ec"},
    "kty null": {"kty": None},
    "kty list": {"kty": ["EC"]},
    "crv P-384": {"crv": "P-384"},
    "crv P-521": {"crv": "P-521"},
    "crv secp256k1": {"crv": "secp256k1"},
    "crv Ed25519": {"crv": "Ed25519"},
    "crv in lower case": {"crv": "p-256"},
    "crv number": {"crv": 256},
    "crv null": {"crv": None},
    "crv list": {"crv": ["P-256"]},
    "off the curve": {"x": POINT["y"]},
    "off the curve, small": {"x": number(1, 32)},
    "infinity": {"x": number(0, 32), "y": number(0, 32)},
    "beyond the field": {"x": base64url(b"\xff" * 32)},
    "leading zero": {"y": "AAAA" + POINT["y"]},
    "padding": {"x": POINT["x"] + "="},
    "too long": {"x": POINT["x"] + "AAAA"},
    "far too long": {"x": "A" * 3000},
    "base64, not base64url": {"x": "+/+/"},
    "x empty": {"x": ""},
    "x not ASCII": {"x": "é"},
    "x surrogate": {"x": "\ud800"},
    "x number": {"x": 7},
    "x null": {"x": None},
    "x list": {"x": [POINT["x"]]},
    "y object": {"y": {}},
    "d": {"d": "x"},
    "d null": {"d": None},
    "k": {"k": "x"},
    "p": {"p": "x"},
    "oth": {"oth": []},
}
# What is no key at all, or one of another algorithm.
WHOLES: dict[str, Any] = {
    "none": ...,
    "null": None,
    "empty text": "",
    "text": "x",
    "number": 7,
    "true": True,
    "empty list": [],
    "list": [POINT],
    "empty": {},
    "certificates": {"x5c": []},
    "P-384": Prover(key=ec.generate_private_key(ec.SECP384R1())).jwk,
    "RSA": RSA.jwk,
}
WRONG_KEYS = WHOLES | {name: {**POINT, **change} for name, change in CHANGES.items()}


@pytest.mark.parametrize("jwk", [pytest.param(jwk, id=name) for name, jwk in WRONG_KEYS.items()])
def test_4_3_7_a_jwk_that_is_no_public_key_of_the_algorithm_is_refused(jwk: object) -> None:
    assert_refused(EC.proof("POST", URL, NOW, header={"jwk": jwk}))


def test_4_3_7_an_rsa_key_that_is_too_small_is_refused() -> None:
    assert_refused(Prover("RS256", SMALL).proof("POST", URL, NOW))


def test_4_3_7_an_rsa_key_may_have_another_exponent() -> None:
    prover = Prover("RS256", rsa.generate_private_key(3, 2048))

    assert verify(prover.proof("POST", URL, NOW)).key == prover.thumbprint


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"n": number(2**4096 + 1)}, id="modulus-4097-bits"),
        pytest.param({"n": number(2**8191 + 1)}, id="modulus-8192-bits"),
        pytest.param({"n": number(2**2046 + 1)}, id="modulus-2047-bits"),
        pytest.param({"n": "AAAA" + RSA.jwk["n"]}, id="leading-zeros"),
        pytest.param({"n": ""}, id="modulus-empty"),
        pytest.param({"n": "é"}, id="modulus-not-ascii"),
        pytest.param({"n": None}, id="modulus-null"),
        pytest.param({"e": number(2**2047 + 1)}, id="exponent-huge"),
        pytest.param({"e": number(2**64 + 1)}, id="exponent-65-bits"),
        pytest.param({"e": "AA"}, id="exponent-zero"),
        pytest.param({"e": "AQ"}, id="exponent-one"),
        pytest.param({"e": "Ag"}, id="exponent-two"),
        pytest.param({"e": "AAEAAQ"}, id="exponent-leading-zero"),
        pytest.param({"e": ""}, id="exponent-empty"),
        pytest.param({"e": 65537}, id="exponent-number"),
        pytest.param({"d": "x"}, id="private"),
        pytest.param({"qi": "x"}, id="private-part"),
        pytest.param({"kty": "EC"}, id="other-type"),
    ],
)
def test_4_3_7_an_rsa_key_that_is_weak_costly_or_misspelt_is_refused(change: dict[str, Any]) -> None:
    assert_refused(RSA.proof("POST", URL, NOW, header={"jwk": {**RSA.jwk, **change}}))


@pytest.mark.parametrize(
    "change", [{"crv": "X25519"}, {"crv": "Ed448"}, {"x": "AAAA"}, {"x": ""}, {"d": "x"}], ids=repr
)
@pytest.mark.parametrize("algorithm", ["Ed25519", "EdDSA"])
def test_4_3_7_an_edwards_key_of_another_kind_is_refused(algorithm: str, change: dict[str, str]) -> None:
    prover = Prover(algorithm)

    assert_refused(prover.proof("POST", URL, NOW, header={"jwk": {**prover.jwk, **change}}))


def test_4_3_7_a_real_private_key_in_the_header_is_refused() -> None:
    prover = Prover("Ed25519")
    assert isinstance(prover.key, ed25519.Ed25519PrivateKey)
    jwk = {**prover.jwk, "d": base64url(prover.key.private_bytes_raw())}

    assert_refused(prover.proof("POST", URL, NOW, header={"jwk": jwk}))


@pytest.mark.parametrize(
    "more", [{"kid": "x"}, {"use": "sig"}, {"key_ops": ["verify"]}, {"alg": "ES256"}, {"x": 0}], ids=repr
)
def test_other_members_of_header_and_key_are_not_looked_at(more: dict[str, Any]) -> None:
    """RFC 7517 §4 and RFC 7515 §4.2: what is not understood is ignored."""
    header = {"jwk": {**more, **EC.jwk}, "kid": "x", "unknown": {"x": 1}}

    assert verify(EC.proof("POST", URL, NOW, header=header)).key == EC.thumbprint


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["jwk"], [], None, "b64", 7], ids=repr)
def test_an_extension_that_must_be_understood_is_refused(crit: object) -> None:
    """RFC 7515 §4.1.11: no extension is known here."""
    assert_refused(EC.proof("POST", URL, NOW, header={"crit": crit, "b64": False}))
    assert_refused(EC.proof("POST", URL, NOW, header={"crit": crit}))
    assert_refused(EC.proof("POST", URL, NOW, header={"b64": False}))
