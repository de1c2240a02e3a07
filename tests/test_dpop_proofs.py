"""DPoP proofs by themselves (RFC 9449 §4): which are good, and what refuses the others."""

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest

from app.oauth import dpop
from app.oauth.credentials import Keys
from app.oauth.dpop import Nonces, verify_proof
from app.oauth.errors import InvalidDPoPProof, UseDPoPNonce
from app.oauth.uris import InvalidURI, normal_target
from tests.proofs import NOW, URL, assert_good, assert_refused, verify
from tests.support.dpop import Prover, ath, base64url

KEYS = Keys("a secret key of the tests, long enough").authentication_keys("dpop-nonce")
EC = Prover()


def test_ath_is_told_as_it_stands_in_the_proof() -> None:
    """§4.2: ath is the hash of the access token; the resource server compares it."""
    assert verify(EC.proof("POST", URL, NOW, "a token")).access_token_hash == ath("a token")
    assert ath("a token") == dpop.access_token_hash("a token")
    for other in (None, 7, ["x"], {"x": 1}, True):
        assert verify(EC.proof("POST", URL, NOW, ath=other)).access_token_hash is None


# ---------------------------------------------------------------------------------- §4.3, check by check
@pytest.mark.parametrize("count", [0, 2, 3])
def test_4_3_1_exactly_one_proof_is_taken(count: int) -> None:
    with pytest.raises(InvalidDPoPProof):
        verify(*(EC.proof("POST", URL, NOW) for _ in range(count)))


def broken(proof: str) -> list[str]:
    """What is no JWT any more."""
    header, claims, signature = proof.split(".")
    return [
        "",
        " ",
        ".",
        "..",
        "...",
        f"{header}.{claims}",
        f"{header}.{claims}.",
        f".{claims}.{signature}",
        f"{header}..{signature}",
        f"{proof}.{signature}",
        f"{proof}, {proof}",
        f"{proof},",
        f" {proof}",
        f"{proof} ",
        f"{proof}=",
        f"{header}=.{claims}.{signature}",
        f"{header}\x00.{claims}.{signature}",
        f"é{proof}",
        f"{header}.{claims}.{signature[:-4]}",
        f"{header}.{claims}.{'A' * len(signature)}",
        f"{header}.{claims}.{signature}{'A' * 9000}",
        f"{base64url(b'[]')}.{claims}.{signature}",
        f"{base64url(b'null')}.{claims}.{signature}",
        f"{base64url(b'{')}.{claims}.{signature}",
        f"{base64url(b'[' * 3000)}.{claims}.{signature}",
        f"{base64url(bytes([0xFF, 0xFE]))}.{claims}.{signature}",
        proof.swapcase(),
        "{}",
        json.dumps({"payload": claims, "protected": header, "signature": signature}),
    ]


def test_4_3_2_what_is_no_jwt_is_refused() -> None:
    proof = EC.proof("POST", URL, NOW)
    assert_good(proof)

    for other in broken(proof):
        assert_refused(other)


@pytest.mark.parametrize("claims", [[], "text", 7, None, True, [{"jti": "x"}]], ids=repr)
def test_4_3_2_claims_that_are_no_object_are_refused(claims: object) -> None:
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": EC.jwk}

    assert_refused(EC.sign(header, claims))


WRONG_TEXTS: list[Any] = [..., None, "", 7, 7.5, True, [], ["x"], {}, {"x": "y"}]


@pytest.mark.parametrize("claim", ["jti", "htm", "htu"], ids=repr)
@pytest.mark.parametrize("value", WRONG_TEXTS)
def test_4_3_3_a_claim_that_must_be_a_text_is_nothing_else(claim: str, value: Any) -> None:
    assert_refused(EC.proof("POST", URL, NOW, **{claim: value}))


@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"], ids=repr)
@pytest.mark.parametrize("value", [None, "", "1795348800", True, [], [1795348800], {}, float("nan")])
def test_4_3_3_a_time_is_a_number(claim: str, value: Any) -> None:
    assert_refused(EC.proof("POST", URL, NOW, **{claim: value}))


def test_4_3_3_iat_is_required() -> None:
    assert_refused(EC.proof("POST", URL, NOW, iat=...))


@pytest.mark.parametrize("jti", ["x" * 513, "x" * 3000], ids=len)
def test_11_1_a_jti_that_is_far_too_long_is_refused(jti: str) -> None:
    assert_refused(EC.proof("POST", URL, NOW, jti=jti))
    assert_good(EC.proof("POST", URL, NOW, jti="x" * 512))


@pytest.mark.parametrize("jti", ["\ud800", "\x00", "é", "a b", "'; --"], ids=repr)
def test_11_1_whatever_a_jti_holds_it_can_be_remembered(jti: str) -> None:
    assert verify(EC.proof("POST", URL, NOW, jti=jti)).identifier.encode("ascii")


@pytest.mark.parametrize(
    "typ", [..., None, "", "JWT", "jwt", "at+jwt", "dpop", "dpop+jwt+x", 7, ["dpop+jwt"], {}], ids=repr
)
def test_4_3_4_another_typ_is_refused(typ: object) -> None:
    assert_refused(EC.proof("POST", URL, NOW, header={"typ": typ}))


@pytest.mark.parametrize("typ", ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt"], ids=repr)
def test_4_3_4_typ_is_a_media_type(typ: str) -> None:
    """RFC 7515 §4.1.9: in any case, with or without `application/`."""
    assert_good(EC.proof("POST", URL, NOW, header={"typ": typ}))


@pytest.mark.parametrize("htm", ["GET", "post", "Post", " POST", "POST ", "POST,GET", "*"], ids=repr)
def test_4_3_8_another_method_is_refused(htm: str) -> None:
    assert_refused(EC.proof("POST", URL, NOW, htm=htm))


@pytest.mark.parametrize(
    "htu",
    [
        "http://auth.example/oauth/token",
        "https://auth.example/oauth/token/",
        "https://auth.example/oauth/Token",
        "https://auth.example/oauth",
        "https://auth.example/",
        "https://auth.example",
        "https://auth.example:8443/oauth/token",
        "https://auth.example.evil/oauth/token",
        "https://evil.example/oauth/token",
        "https://evil.example/?https://auth.example/oauth/token",
        "https://auth.example@evil.example/oauth/token",
        "https://user@auth.example/oauth/token",
        "https://auth.example/oauth%2Ftoken",
        "https://auth.example//oauth/token",
        "https://auth.example/oauth/token/..",
        "https://auth.example/oauth/token;x",
        "/oauth/token",
        "auth.example/oauth/token",
        "//auth.example/oauth/token",
        "https:/auth.example/oauth/token",
        "https:auth.example/oauth/token",
        "https://auth.example/oauth/token ",
        " https://auth.example/oauth/token",
        "https://auth.example\\oauth\\token",
        "https://auth.example:0/oauth/token",
        "https://auth.example:99999/oauth/token",
        "https://[auth.example/oauth/token",
        "ftp://auth.example/oauth/token",
        "urn:auth",
        "https://äuth.example/oauth/token",
        "https://auth.example/oauth/token\x00",
        "https://auth.example/oauth/\ud800",
        "*",
    ],
    ids=repr,
)
def test_4_3_9_another_url_is_refused(htu: str) -> None:
    assert_refused(EC.proof("POST", URL, NOW, htu=htu))


@pytest.mark.parametrize(
    "htu",
    [
        URL,
        URL + "?a=b",
        URL + "#fragment",
        URL + "?a=b#c?d",
        "HTTPS://AUTH.example/oauth/token",
        "https://auth.example:443/oauth/token",
        "https://auth.example/%6fauth/t%6Fken",
        "https://auth.example/./oauth/x/../token",
        "https://auth.example/../oauth/token",
    ],
    ids=repr,
)
def test_4_3_9_another_spelling_of_the_url_is_the_same(htu: str) -> None:
    """RFC 3986 §6.2.2 and §6.2.3; query and fragment are ignored."""
    assert_good(EC.proof("POST", URL, NOW, htu=htu))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://localhost:80", "http://localhost/"),
        ("http://[::1]:8000/mcp", "http://[::1]:8000/mcp"),
        ("https://a.example/x/.", "https://a.example/x/"),
        ("https://a.example/x/..", "https://a.example/"),
        ("https://a.example/a%2fb%7e", "https://a.example/a%2Fb~"),
    ],
)
def test_a_target_has_one_normal_spelling(url: str, target: str) -> None:
    assert normal_target(url) == target
    assert normal_target(target) == target
    with pytest.raises(InvalidURI):
        normal_target(url.replace("http", "gopher", 1))


def test_a_proof_may_be_for_any_of_several_urls_and_is_remembered_for_the_one() -> None:
    urls = ["https://a.example/mcp", "https://a.example/mcp/"]
    proofs = [EC.proof("POST", url, NOW, jti="x") for url in urls]

    seen = [verify_proof([proof], "POST", urls, NOW, None).identifier for proof in proofs]

    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    ("seconds", "good"),
    [
        (0, True),
        (-60, True),
        (10, True),
        (-61, False),
        (11, False),
        (-3600, False),
        (3600, False),
        (-0.5, True),
    ],
)
def test_4_3_11_a_proof_is_made_now(seconds: float, good: bool) -> None:
    proof = EC.proof("POST", URL, NOW, iat=NOW.timestamp() + seconds)

    if good:
        assert_good(proof)
    else:
        assert_refused(proof)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), 1e308, -1, 0, 10**30, -(10**30)], ids=repr
)
def test_4_3_11_a_time_beyond_all_times_is_refused(value: float) -> None:
    assert_refused(EC.proof("POST", URL, NOW, iat=value))


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": NOW.timestamp()}, id="expired-now"),
        pytest.param({"exp": 0}, id="expired-long-ago"),
        pytest.param({"exp": float("nan")}, id="exp-nan"),
        pytest.param({"nbf": NOW.timestamp() + 11}, id="not-yet"),
        pytest.param({"nbf": float("nan")}, id="nbf-nan"),
    ],
)
def test_a_proof_that_says_itself_that_it_is_not_valid_is_refused(claims: dict[str, Any]) -> None:
    """RFC 7519 §4.1.4, §4.1.5."""
    assert_refused(EC.proof("POST", URL, NOW, **claims))
    assert_good(EC.proof("POST", URL, NOW, exp=NOW.timestamp() + 1, nbf=NOW.timestamp()))


# -------------------------------------------------------------------------------------------- §8: nonces
def test_8_without_nonce_the_answer_names_the_one_to_use() -> None:
    nonces = Nonces(KEYS)
    odd: list[Any] = [..., None, "", "x", 7, True, [], [nonces.current(NOW)], {}, "\ud800", "é", "x" * 3000]
    for nonce in odd:
        with pytest.raises(UseDPoPNonce) as asked:
            verify(EC.proof("POST", URL, NOW, nonce=nonce), nonces=nonces)
        assert asked.value.error == "use_dpop_nonce"
        assert asked.value.nonce == nonces.current(NOW)
    assert_good(EC.proof("POST", URL, NOW, nonce=nonces.current(NOW)), nonces=nonces)


def test_8_a_nonce_is_good_for_minutes_and_then_not_any_more() -> None:
    nonces = Nonces(KEYS)
    nonce = nonces.current(NOW)
    ages = range(0, 600, 10)

    good = [age for age in ages if nonces.accepts(nonce, NOW + timedelta(seconds=age))]

    assert good == list(range(0, good[-1] + 1, 10))
    assert dpop.NONCE_STRETCH <= timedelta(seconds=good[-1] + 10) <= 2 * dpop.NONCE_STRETCH
    assert not nonces.accepts(nonce, NOW - timedelta(hours=1))


def test_8_a_nonce_consists_of_the_characters_that_a_header_and_a_challenge_take() -> None:
    """§8.1: NQCHAR."""
    nonces = Nonces(KEYS)
    given = {nonces.current(NOW + timedelta(minutes=10 * number)) for number in range(100)}

    assert len(given) == 100
    assert all(nonce.replace("-", "").replace("_", "").isalnum() and len(nonce) < 64 for nonce in given)


def test_8_a_nonce_of_another_server_is_none() -> None:
    other = Nonces(Keys("another secret key, which is long enough").authentication_keys("dpop-nonce"))

    assert not Nonces(KEYS).accepts(other.current(NOW), NOW)


def test_8_a_nonce_survives_a_change_of_the_secret_key() -> None:
    changed = Keys("another secret key, which is long enough", "a secret key of the tests, long enough")
    after = Nonces(changed.authentication_keys("dpop-nonce"))

    assert after.accepts(Nonces(KEYS).current(NOW), NOW)
    assert after.current(NOW) != Nonces(KEYS).current(NOW)


@pytest.mark.parametrize(
    "iat", [0, -1, NOW.timestamp() - 3600, NOW.timestamp() + 3600, float("inf")], ids=repr
)
def test_8_where_the_nonce_tells_the_time_the_clock_of_the_client_may_be_wrong(iat: float) -> None:
    """§4.3: iat *or* a time that the server manages by nonce."""
    nonces = Nonces(KEYS)
    nonce = nonces.current(NOW)

    assert_good(EC.proof("POST", URL, NOW, iat=iat, nonce=nonce), nonces=nonces)
    for wrong in ("x", float("nan"), None):
        assert_refused(EC.proof("POST", URL, NOW, iat=wrong, nonce=nonce), nonces=nonces)


def test_a_nonce_that_nobody_asked_for_is_ignored() -> None:
    odd: list[Any] = ["x", 7, None, []]
    for nonce in odd:
        assert_good(EC.proof("POST", URL, NOW, nonce=nonce))


# ------------------------------------------------------------------------------------- §11.1: replay
def test_11_1_a_proof_is_known_again_by_its_key_its_url_and_its_jti() -> None:
    other = Prover()
    same = [verify(EC.proof("POST", URL, NOW, jti="x", iat=NOW.timestamp() - n)).identifier for n in range(3)]
    different = [
        verify(EC.proof("POST", URL, NOW, jti="y")).identifier,
        verify(other.proof("POST", URL, NOW, jti="x")).identifier,
    ]

    assert len(set(same)) == 1
    assert len({*same, *different}) == 3


@pytest.mark.parametrize("nonces", [None, Nonces(KEYS)])
def test_11_1_it_is_remembered_longer_than_it_is_accepted(nonces: Nonces | None) -> None:
    nonce = ... if nonces is None else nonces.current(NOW)
    proof = EC.proof("POST", URL, NOW, iat=NOW.timestamp() + 10, nonce=nonce)
    remembered_until = verify(proof, nonces=nonces).expires_at

    accepted = []
    for seconds in range(0, 600, 5):
        later = NOW + timedelta(seconds=seconds)
        with contextlib.suppress(InvalidDPoPProof):
            accepted.append((verify(proof, nonces=nonces, now=later), later)[1])

    assert accepted[0] == NOW
    # A replica whose clock is half a minute slow still accepts it then, and must find it remembered.
    assert accepted[-1] + timedelta(seconds=30) < remembered_until
