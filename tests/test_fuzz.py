"""Whatever strangers send, the parsers refuse it in their own words: no other exception ever leaves them.

Bounded and derandomised, so that the run is the same each time; `FUZZ_EXAMPLES=100000` makes it long.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.authorization_server.client_metadata import check_metadata
from app.authorization_server.client_metadata_document import read_document
from app.authorization_server.policy import Policy, Resource
from app.oauth import assertions, dpop, jwt, pkce
from app.oauth.errors import (
    InvalidClientMetadata,
    InvalidDPoPProof,
    InvalidRedirectURI,
    InvalidRequest,
    InvalidScope,
)
from app.oauth.parameters import parse_parameters
from app.oauth.scopes import parse_scope
from app.oauth.uris import (
    InvalidURI,
    canonical_url,
    check_client_id_url,
    check_redirect_uri,
    normal_target,
    redirect_target,
    redirect_uri_matches,
)
from tests.support.dpop import Prover

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POLICY = Policy("https://as.example", (Resource("https://as.example/mcp"),))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
KEYS = {name: Prover(name) for name in ("ES256", "RS256", "Ed25519")}
OURS = jwt.generate_signing_key()
VERIFICATION = {OURS.kid: jwt.import_verification_key(OURS.public_jwk)}
KEY_SET = assertions.read_key_set({"keys": [{**KEYS["ES256"].jwk, "kid": "1"}, KEYS["RS256"].jwk]})

bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
letters = st.text(alphabet=st.characters(codec=None), max_size=60) | st.sampled_from(
    ["", "\x00", "\ud800", "‮", "é", "%00", "%ff", "//", "https://a/b", "javascript:x", "::1", "a" * 5000]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | letters
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(letters, inner, max_size=4),
    max_leaves=12,
)


def named(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these members, whatever they hold."""
    return st.dictionaries(st.sampled_from(names), anything, max_size=len(names))


addresses = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(
        ["https://", "http://", "HTTPS://", "cursor://", "javascript:", "//", "", "https:", "x.y:/"]
    ),
    st.sampled_from(["", "user@", "u:p@", "@"]),
    st.sampled_from(
        ["a.example", "A.EXAMPLE", "127.0.0.1", "[::1]", "[v1.x]", "[", "localhost", "é.example", "a..b", ""]
    ),
    st.sampled_from(["", ":", ":443", ":0", ":99999", ":x", ":٣"]),
    letters.map(lambda text: "/" + text) | st.sampled_from(["", "/", "/../a", "/%2e", "?x#y", "/\\", "/a;b"]),
)
headers = named("alg", "typ", "kid", "jwk", "jku", "x5c", "crit", "b64", "enc", "zip", "cty")
claims = named(
    *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "resource", "htm", "htu", "ath"),
    *("nonce", "cnf", "act"),
)


def told(algorithm: str, kind: str, header: dict[str, Any]) -> dict[str, Any]:
    return {"alg": algorithm, "typ": kind, "kid": "1", "jwk": KEYS[algorithm].jwk, **header}


def signed(kind: str) -> st.SearchStrategy[str]:
    """JWTs that someone really signed, with odd headers and claims."""
    return st.builds(
        lambda algorithm, header, body: KEYS[algorithm].sign(told(algorithm, kind, header), body),
        st.sampled_from(sorted(KEYS)),
        headers,
        claims | anything,
    )


@bounded
@given(st.binary(max_size=300) | letters.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_forms_and_queries(encoded: bytes) -> None:
    with suppress(InvalidRequest, InvalidScope):
        parameters = parse_parameters(encoded)
        parameters.refuse_repeated()
        parse_scope(parameters.get("scope"))
        pkce.check_challenge(parameters.get("code_challenge"), parameters.get("code_challenge_method"))


@bounded
@given(letters)
def test_scopes(scope: str) -> None:
    with suppress(InvalidScope):
        assert all(name and " " not in name for name in parse_scope(scope))


CHECKS: tuple[Callable[[str], str], ...] = (
    canonical_url,
    normal_target,
    lambda url: check_client_id_url(url, loopback=True),
    lambda url: check_client_id_url(url, loopback=False),
    lambda url: check_redirect_uri(url, POLICY.private_use_schemes),
)


@bounded
@given(addresses | letters, addresses | letters)
def test_addresses(one: str, other: str) -> None:
    for check in CHECKS:
        with suppress(InvalidURI):
            assert not any(letter <= " " for letter in check(one))
    with suppress(InvalidURI):
        registered = check_redirect_uri(one, POLICY.private_use_schemes)
        assert redirect_target(registered).label
        if redirect_uri_matches(registered, other):
            assert redirect_target(other).host == redirect_target(registered).host


METADATA = named(
    *("redirect_uris", "client_name", "grant_types", "response_types", "token_endpoint_auth_method", "scope"),
    *(
        "client_uri",
        "logo_uri",
        "contacts",
        "jwks",
        "jwks_uri",
        "dpop_bound_access_tokens",
        "application_type",
    ),
    *("token_endpoint_auth_signing_alg", "require_pushed_authorization_requests", "client_id", "software_id"),
)
GOOD = {"client_name": "App", "redirect_uris": ["https://a.example/cb"]}


@bounded
@given(METADATA | anything)
def test_client_metadata(metadata: Any) -> None:
    for value in (metadata, {**GOOD, **metadata} if isinstance(metadata, dict) else metadata):
        with suppress(InvalidClientMetadata, InvalidRedirectURI):
            checked = check_metadata(value, POLICY, default_auth_method="none")
            json.dumps(checked.information, ensure_ascii=False, allow_nan=False).encode()


@bounded
@given(METADATA | anything)
def test_metadata_documents(document: Any) -> None:
    url = "https://a.example/client.json"
    good = {**GOOD, "client_id": url}
    for value in (document, {**document, **good} if isinstance(document, dict) else document):
        with suppress(InvalidClientMetadata, InvalidRedirectURI):
            client = read_document(value, url, POLICY, NOW, timedelta(hours=1), "203.0.113.7")
            assert client.client_id == url


KEY = named("kty", "n", "e", "x", "y", "crv", "kid", "use", "alg", "key_ops", "d", "k")


@bounded
@given(anything | named("keys") | st.lists(KEY).map(lambda keys: {"keys": keys}))
def test_key_sets(document: Any) -> None:
    with suppress(assertions.InvalidKeySet):
        assert assertions.read_key_set(document).keys


@bounded
@given(letters | signed("at+jwt") | signed("dpop+jwt"))
def test_access_tokens(token: str) -> None:
    with pytest.raises(jwt.InvalidJWT):
        jwt.verify(token, VERIFICATION, jwt.ACCESS_TOKEN_TYPE)
    issuer = jwt.claimed_issuer(token)
    assert issuer is None or isinstance(issuer, str)


@bounded
@given(letters | signed("JWT"))
def test_assertions(token: str) -> None:
    with suppress(jwt.InvalidJWT):
        assertion = assertions.read_assertion(token, {"", "jwt"})
        said = assertions.verify_assertion(assertion, KEY_SET)
        assertions.check_times(said, NOW, timedelta(minutes=5))


@bounded
@given(letters | signed("dpop+jwt"), letters)
def test_proofs(proof: str, other: str) -> None:
    for proofs in ([proof], [proof, other]):
        with suppress(InvalidDPoPProof):
            dpop.verify_proof(proofs, "POST", ["https://as.example/oauth/token"], NOW, None)
