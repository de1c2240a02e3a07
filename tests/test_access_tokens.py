"""Access tokens (RFC 9068): what they say, and which forgeries the resource server refuses."""

import base64
import hmac
import json
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jwt as jose
from joserfc.jwk import ECKey, OctKey

from app.oauth import jwt
from app.resource_server.verifier import AccessTokenReader, UnknownToken
from tests.support.world import World, mcp_call, mcp_headers


def segments(token: str) -> list[dict[str, Any]]:
    """Header and claims of a compact JWT, not verified."""
    decoded = []
    for part in token.split(".")[:2]:
        decoded.append(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))
    return decoded


def compact(header: dict[str, Any], claims: dict[str, Any], signature: str) -> str:
    """A JWT with this header, these claims and whatever signature."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    ]
    return ".".join([*parts, signature])


def signing_key(world: World) -> jwt.SigningKey:
    """The key with which the server signs."""
    return world.services.signing_keys.signing_at(world.clock.now())


def assert_invalid_token(world: World, answer: httpx2.Response) -> None:
    """RFC 6750 §3.1: 401 `invalid_token`, with the way to a new token."""
    assert answer.status_code == 401, f"{answer.status_code} {answer.text[:300]}"
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert 'error="invalid_token"' in challenge
    metadata = f"{world.settings.public_url}/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{metadata}"' in challenge
    assert "offline_access" not in challenge
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["error"] == "invalid_token"
    assert "eyJ" not in answer.text + challenge


async def test_an_access_token_is_an_rfc_9068_jwt(world: World) -> None:
    client = await world.register()
    tokens = [await world.tokens(client) for _ in range(3)]
    published = (await world.http.get("/.well-known/jwks.json")).json()["keys"]

    for issued in tokens:
        header, claims = segments(issued["access_token"])
        assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
        key = next(key for key in published if key["kid"] == header["kid"])
        assert "d" not in key
        jose.decode(issued["access_token"], ECKey.import_key(key), algorithms=["ES256"])
        user = (await world.rows("SELECT id FROM users"))[0]["id"]
        assert claims["iss"] == world.settings.public_url
        assert claims["aud"] == world.settings.resource
        assert (claims["sub"], claims["client_id"]) == (user, client["client_id"])
        assert claims["iat"] == int(world.clock.now().timestamp())
        assert claims["exp"] == claims["iat"] + issued["expires_in"]
        assert set(claims["scope"].split()) == set(issued["scope"].split())
    assert len({segments(issued["access_token"])[1]["jti"] for issued in tokens}) == 3


async def test_a_token_tells_nothing_that_the_person_did_not_agree_to(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope="mcp")

    told = json.dumps(segments(tokens["access_token"]))

    assert "alice" not in told.lower()
    assert "example.com" not in told


async def test_a_token_signed_by_the_server_key_is_accepted(world: World) -> None:
    """The control of the forgeries below: signed anew, the same claims pass."""
    tokens = await world.tokens(await world.register())
    _, claims = segments(tokens["access_token"])

    answer = await world.call(jwt.sign(claims, signing_key(world), "at+jwt"))

    assert answer.status_code == 200, answer.text


async def test_a_token_that_was_taken_before_falls_when_its_key_is_withdrawn(world: World) -> None:
    """What is remembered of a token is worth no more than the key that signed it."""
    claims = segments((await world.tokens(await world.register()))["access_token"])[1]
    stolen = jwt.generate_signing_key()
    token = jwt.sign(claims, stolen, "at+jwt")
    keys = {stolen.kid: jwt.VerificationKey(stolen.kid, stolen.key)}
    settings = world.settings
    reader = AccessTokenReader(settings.public_url, settings.resource, lambda: keys)
    assert reader.read(token, world.clock.now()) is reader.read(token, world.clock.now())

    del keys[stolen.kid]

    with pytest.raises(UnknownToken):
        reader.read(token, world.clock.now())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://evil.example"}, id="RSV-3-other-issuer"),
        pytest.param({"iss": "http://localhost:8000/"}, id="RSV-3-issuer-with-slash"),
        pytest.param({"iss": None}, id="RSV-3-no-issuer"),
        pytest.param({"aud": "https://other.example/mcp"}, id="RSV-6-other-resource"),
        pytest.param({"aud": "http://localhost:8000"}, id="RSV-6-origin-only"),
        pytest.param({"aud": "http://localhost:8000/"}, id="RSV-6-origin-slash"),
        pytest.param({"aud": "http://localhost:8000/mcp-other"}, id="RSV-6-prefix"),
        pytest.param({"aud": "http://localhost:8000/mcp/other"}, id="RSV-6-below"),
        pytest.param({"aud": "http://localhost:8001/mcp"}, id="RSV-6-other-port"),
        pytest.param({"aud": "https://localhost:8000/mcp"}, id="RSV-6-other-scheme"),
        pytest.param({"aud": ["https://other.example/mcp"]}, id="RSV-6-list-of-others"),
        pytest.param({"aud": []}, id="RSV-6-empty-list"),
        pytest.param({"aud": ""}, id="RSV-6-empty"),
        pytest.param({"aud": None}, id="RSV-6-none"),
        pytest.param({"aud": {"http://localhost:8000/mcp": 1}}, id="RSV-6-object"),
        pytest.param({"exp": None}, id="RSV-3-no-exp"),
        pytest.param({"exp": 0}, id="RSV-3-exp-zero"),
        pytest.param({"exp": "4102444800"}, id="RSV-3-exp-as-string"),
        pytest.param({"exp": True}, id="RSV-3-exp-boolean"),
        pytest.param({"exp": 1e400}, id="RSV-3-exp-infinite"),
        pytest.param({"exp": 10**30}, id="RSV-3-exp-beyond-dates"),
        pytest.param({"exp": []}, id="RSV-3-exp-list"),
        pytest.param({"sub": None}, id="RSV-3-no-sub"),
        pytest.param({"sub": ""}, id="RSV-3-empty-sub"),
        pytest.param({"sub": 7}, id="RSV-3-sub-number"),
        pytest.param({"client_id": None}, id="RSV-3-no-client"),
        pytest.param({"client_id": ["x"]}, id="RSV-3-client-list"),
        pytest.param({"jti": None}, id="RSV-3-no-jti"),
        pytest.param({"jti": {}}, id="RSV-3-jti-object"),
        pytest.param({"nbf": 4102444800}, id="RSV-3-not-yet-valid"),
    ],
)
async def test_claims_that_are_wrong_or_missing_are_refused_though_well_signed(
    world: World, changes: dict[str, Any]
) -> None:
    tokens = await world.tokens(await world.register())
    _, claims = segments(tokens["access_token"])
    forged = {name: value for name, value in {**claims, **changes}.items() if value is not None}

    answer = await world.call(jwt.sign(forged, signing_key(world), "at+jwt"))

    assert_invalid_token(world, answer)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+JWT2", "", "id_token", "dpop+jwt", "application/jwt"])
async def test_another_type_of_jwt_is_no_access_token(world: World, typ: str) -> None:
    tokens = await world.tokens(await world.register())
    _, claims = segments(tokens["access_token"])

    assert_invalid_token(world, await world.call(jwt.sign(claims, signing_key(world), typ)))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA", "kept"])
async def test_a_token_without_an_algorithm_is_refused(world: World, alg: str, signature: str) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    header, claims = segments(token)
    kept = token.rpartition(".")[2] if signature == "kept" else signature

    assert_invalid_token(world, await world.call(compact({**header, "alg": alg}, claims, kept)))


@pytest.mark.parametrize("form", ["pem", "der", "jwk", "raw"])
async def test_the_public_key_is_no_shared_secret(world: World, form: str) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    header, claims = segments(token)
    key = signing_key(world).key
    secret = {
        "pem": key.as_pem(private=False),
        "der": key.as_der(private=False),
        "jwk": json.dumps(key.as_dict(private=False)).encode(),
        "raw": base64.urlsafe_b64decode(str(key.as_dict(private=False)["x"]) + "="),
    }[form]
    parts = compact({**header, "alg": "HS256"}, claims, "").rstrip(".")
    mac = _hs256(secret, parts)

    assert_invalid_token(world, await world.call(f"{parts}.{mac}"))


def _hs256(secret: bytes, signed: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()


async def test_another_key_under_our_id_or_an_unknown_id_is_refused(world: World) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    _, claims = segments(token)
    ours = signing_key(world)
    strange = jwt.generate_signing_key()

    for kid, key in (
        (ours.kid, strange.key),
        (strange.kid, strange.key),
        (strange.kid, ours.key),
        ("../../etc/passwd", ours.key),
        ("", ours.key),
    ):
        assert_invalid_token(world, await world.call(jwt.sign(claims, jwt.SigningKey(kid, key), "at+jwt")))


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"crit": ["exp"]}, id="crit-registered-name"),
        pytest.param({"crit": ["b64"], "b64": False}, id="crit-b64"),
        pytest.param({"crit": ["http://example.com/x"], "http://example.com/x": True}, id="crit-unknown"),
        pytest.param({"crit": []}, id="crit-empty"),
        pytest.param({"kid": None}, id="no-kid"),
        pytest.param({"kid": ["x"]}, id="kid-list"),
        pytest.param({"alg": "ES384"}, id="alg-es384"),
        pytest.param({"alg": "RS256"}, id="alg-rs256"),
        pytest.param({"alg": 1}, id="alg-number"),
        pytest.param({"typ": 1}, id="typ-number"),
        pytest.param({"typ": None}, id="no-typ"),
    ],
)
async def test_a_header_that_asks_for_something_else_is_refused(world: World, extra: dict[str, Any]) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    header, claims = segments(token)
    changed = {name: value for name, value in {**header, **extra}.items() if value is not None}
    signed = compact(changed, claims, "").rstrip(".")
    signature = _es256(signing_key(world), signed)

    assert_invalid_token(world, await world.call(f"{signed}.{signature}"))


def _es256(key: jwt.SigningKey, signed: str) -> str:
    private = key.key.private_key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
async def test_a_key_that_the_token_brings_along_is_not_trusted(world: World, name: str) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    header, claims = segments(token)
    strange = jwt.generate_signing_key()
    brought: Any = {
        "jwk": strange.public_jwk,
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
        "x5c": ["AAAA"],
    }[name]
    signed = compact({**header, name: brought}, claims, "").rstrip(".")

    assert_invalid_token(world, await world.call(f"{signed}.{_es256(strange, signed)}"))


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_every_changed_byte_breaks_the_signature(world: World, part: int) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    parts = token.split(".")
    for place in (0, len(parts[part]) // 2, len(parts[part]) - 3):
        letter = "A" if parts[part][place] != "A" else "B"
        changed = parts[part][:place] + letter + parts[part][place + 1 :]
        forged = ".".join([*parts[:part], changed, *parts[part + 1 :]])
        assert_invalid_token(world, await world.call(forged))
    assert (await world.call(token)).status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"x", id="RSV-3-short"),
        pytest.param(b"a.b.c", id="RSV-3-three-parts"),
        pytest.param(b"....", id="RSV-3-dots"),
        pytest.param(b"e30.e30.", id="RSV-3-empty-objects"),
        pytest.param(b"bnVsbA.bnVsbA.bnVsbA", id="RSV-3-nulls"),
        pytest.param(b"W10.W10.W10", id="RSV-3-lists"),
        pytest.param(b"x" * 100_000, id="RSV-3-100-kB"),
        pytest.param(b"eyJhbGciOiJFUzI1NiJ9." + b"A" * 100_000 + b".AAAA", id="RSV-3-100-kB-claims"),
        pytest.param(b"\xff\xfe\xfd", id="RSV-3-not-ascii"),
        pytest.param("eyJé.é.é".encode(), id="RSV-3-utf-8"),
        pytest.param(b"ost_refresh_" + b"A" * 43, id="RSV-3-refresh-token"),
        pytest.param(base64.urlsafe_b64encode(b"[" * 60_000), id="RSV-3-deep-json"),
    ],
)
async def test_what_is_no_token_at_all_is_refused(world: World, token: bytes) -> None:
    headers = {name.encode(): value.encode() for name, value in mcp_headers(None, "whoami").items()}

    answer = await world.http.post(
        "/mcp", headers={**headers, b"authorization": b"Bearer " + token}, json=mcp_call("whoami", {})
    )

    assert_invalid_token(world, answer)


async def test_a_token_signed_with_the_secret_key_of_the_server_is_refused(world: World) -> None:
    token = (await world.tokens(await world.register()))["access_token"]
    header, claims = segments(token)
    secret = OctKey.import_key(world.settings.secret_key)
    forged = jose.encode({**header, "alg": "HS256"}, claims, secret, algorithms=["HS256"])

    assert_invalid_token(world, await world.call(forged))
