"""The vocabulary: parameters, scopes, PKCE, credentials and JWTs, with whatever input hypothesis finds."""

import base64
import hashlib
import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.oauth import credentials, jwt
from app.oauth.errors import InvalidRequest, InvalidScope
from app.oauth.parameters import Parameters, parse_parameters
from app.oauth.pkce import check_challenge, proves
from app.oauth.scopes import (
    Scope,
    asked_at_first,
    for_person,
    format_scope,
    implied,
    parse_scope,
    supported_by_resource,
    supported_by_server,
    worth_telling,
)

UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
SCOPE_CHARACTERS = "".join(chr(code) for code in (0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)))
# No surrogates, which no one can send, and no NUL, which is refused.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)
SECRET_KEY, OTHER_KEY = "a" * 40, "b" * 40


# -------------------------------------------------------------------------------------------- parameters
@given(st.dictionaries(TEXT, TEXT, max_size=20))
def test_a_form_is_read_as_it_was_written(fields: dict[str, str]) -> None:
    parsed = parse_parameters(urlencode(fields).encode())

    assert {name: parsed.get(name) for name in fields} == fields


@given(st.binary(max_size=300))
def test_any_bytes_are_parameters_or_an_invalid_request(encoded: bytes) -> None:
    try:
        parsed = parse_parameters(encoded)
    except InvalidRequest:
        return
    assert isinstance(parsed, Parameters)


@given(TEXT, TEXT, TEXT)
def test_a_repeated_parameter_is_an_invalid_request_only_for_who_wants_one(
    name: str, one: str, two: str
) -> None:
    parsed = parse_parameters(urlencode([(name, one), (name, two)]).encode())

    assert parsed.all(name) == (one, two)
    with pytest.raises(InvalidRequest):
        parsed.get(name)
    with pytest.raises(InvalidRequest):
        parsed.require(name)


@given(TEXT)
def test_an_empty_parameter_counts_as_absent(name: str) -> None:
    parsed = parse_parameters(quote(name).encode() + b"=")

    assert (parsed.get(name), parsed.all(name)) == (None, ())
    with pytest.raises(InvalidRequest):
        parsed.require(name)


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(b"a=%ff", id="not-utf-8"),
        pytest.param(b"a=\xc3\xa9", id="not-encoded"),
        pytest.param(b"a=%00", id="nul-in-value"),
        pytest.param(b"%00=a", id="nul-in-name"),
        pytest.param(b"&".join(b"a%d=1" % number for number in range(1000)), id="too-many"),
    ],
)
def test_parameters_that_no_one_may_send_are_refused(encoded: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_parameters(encoded)


# ------------------------------------------------------------------------------------------------ scopes
@given(st.lists(st.text(SCOPE_CHARACTERS, min_size=1, max_size=20), max_size=20))
def test_scopes_survive_being_written_and_read(names: list[str]) -> None:
    assert parse_scope(format_scope(names)) == tuple(dict.fromkeys(names))


@given(st.lists(st.sampled_from(["mcp", "email", " ", "  "]), max_size=20))
def test_surplus_spaces_between_scopes_mean_nothing(parts: list[str]) -> None:
    expected = {part for part in parts if part.strip()}

    assert set(parse_scope(" ".join(parts))) == expected


@given(st.characters(exclude_characters=SCOPE_CHARACTERS + " "))
def test_a_character_outside_the_grammar_is_an_invalid_scope(letter: str) -> None:
    """RFC 6749 §3.3."""
    with pytest.raises(InvalidScope):
        parse_scope(f"mcp x{letter}y")


@pytest.mark.parametrize("scope", [None, "", " ", "    "])
def test_no_scope_is_the_empty_set(scope: str | None) -> None:
    assert parse_scope(scope) == ()


def test_five_thousand_scopes_are_refused() -> None:
    with pytest.raises(InvalidScope):
        parse_scope(" ".join(f"scope{number}" for number in range(5000)))


def test_the_resource_never_asks_for_offline_access() -> None:
    assert "offline_access" in supported_by_server()
    assert set(supported_by_resource()) == set(supported_by_server()) - {"offline_access", "openid"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        pytest.param("openid", "openid", id="who it is, and no more"),
        pytest.param("openid mcp offline_access", "openid mcp", id="how long is told besides"),
        pytest.param("openid profile", "profile", id="a name tells who it is"),
        pytest.param("email openid mcp", "mcp email", id="an address too"),
        pytest.param("email mcp unknown", "mcp email", id="in the order of the catalogue"),
        pytest.param("offline_access", "", id="nothing but how long"),
    ],
)
def test_a_person_is_told_of_each_permission_once(names: str, told: str) -> None:
    assert " ".join(scope.name for scope in worth_telling(names.split())) == told


LADDER = (
    Scope("notes:all", "Everything", implies=("notes:write", "people")),
    Scope("notes:write", "Write", implies=("notes:read",), on_demand=True),
    Scope("notes:read", "Read"),
    Scope("people", "See people", admins_only=True),
    Scope("left", "Left", implies=("right",)),
    Scope("right", "Right", implies=("left", "unknown")),
)


@pytest.mark.parametrize(
    ("held", "opened"),
    [
        pytest.param("notes:read", "notes:read", id="RSV-10 nothing above"),
        pytest.param("notes:write", "notes:write notes:read", id="RSV-10 one step"),
        pytest.param("notes:all", "notes:all notes:write notes:read people", id="RSV-10 two steps"),
        pytest.param("left", "left right unknown", id="RSV-10 a circle"),
        pytest.param("other", "other", id="RSV-10 not in the catalogue"),
        pytest.param("", "", id="RSV-10 none"),
    ],
)
def test_a_scope_opens_what_it_implies(held: str, opened: str) -> None:
    assert implied(parse_scope(held), LADDER) == set(parse_scope(opened))


def test_without_a_hierarchy_a_scope_opens_itself() -> None:
    assert implied(["mcp", "email"]) == {"mcp", "email"}


def test_auz_26_what_implies_a_scope_for_admins_is_for_admins() -> None:
    names = ("notes:all", "notes:write", "people", "other")
    assert for_person(names, False, LADDER) == ("notes:write", "other")
    assert for_person(names, True, LADDER) == names
    assert for_person(iter(names), False) == names


def test_what_is_asked_on_demand_is_known_but_not_asked_for_at_first() -> None:
    assert "notes:write" in supported_by_server(LADDER)
    assert "notes:write" in supported_by_resource(LADDER)
    assert asked_at_first(("notes:all", "notes:write", "mcp"), LADDER) == ("notes:all", "mcp")


# -------------------------------------------------------------------------------------------------- pkce
def challenge_for(verifier: str) -> str:
    """S256, written down from RFC 7636 §4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def test_the_example_of_the_specification_proves() -> None:
    """RFC 7636 appendix B."""
    assert proves(
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


@given(st.text(UNRESERVED, min_size=43, max_size=128), st.text(UNRESERVED, min_size=43, max_size=128))
def test_a_verifier_proves_its_own_challenge_alone(verifier: str, other: str) -> None:
    assume(verifier != other)

    challenge = check_challenge(challenge_for(verifier), "S256")

    assert proves(verifier, challenge)
    assert not proves(other, challenge)
    assert not proves(challenge, challenge)


@given(st.one_of(st.text(max_size=42), st.text(UNRESERVED, min_size=129, max_size=200)))
def test_a_verifier_of_another_length_proves_nothing(verifier: str) -> None:
    assert not proves(verifier, challenge_for(verifier.encode(errors="replace").decode()))


@pytest.mark.parametrize("tail", ["\n", " ", "=", "é", "\x00", "+", "/"])
def test_a_verifier_with_another_character_proves_nothing(tail: str) -> None:
    verifier = "v" * 60 + tail

    assert not proves(verifier, challenge_for(verifier))


@pytest.mark.parametrize(
    ("challenge", "method"),
    [
        (None, "S256"),
        (None, None),
        ("", "S256"),
        ("c" * 43, None),
        ("c" * 43, "plain"),
        ("c" * 43, "s256"),
        ("c" * 43, "S256 "),
        ("c" * 42, "S256"),
        ("c" * 44, "S256"),
        ("c" * 43 + "\n", "S256"),
        ("c" * 42 + "=", "S256"),
        ("c" * 42 + "+", "S256"),
        ("c" * 42 + "é", "S256"),
    ],
)
def test_a_challenge_that_is_not_s256_is_an_invalid_request(
    challenge: str | None, method: str | None
) -> None:
    with pytest.raises(InvalidRequest):
        check_challenge(challenge, method)


# ------------------------------------------------------------------------------------------- credentials
def test_minted_secrets_carry_their_prefix_and_256_bits() -> None:
    minted = {credentials.mint("ost_x_") for _ in range(500)}

    assert len(minted) == 500
    for secret in minted:
        encoded = secret.removeprefix("ost_x_")
        assert len(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))) == 32


def test_minted_ids_never_look_like_a_url() -> None:
    """REG-25; CIMD §6.9."""
    minted = {credentials.mint_id("client_") for _ in range(500)}

    assert len(minted) == 500
    assert all(id_.startswith("client_") and ":" not in id_ and "/" not in id_ for id_ in minted)


@given(TEXT, TEXT)
def test_the_hash_of_a_secret_depends_on_the_secret_and_the_key(one: str, two: str) -> None:
    assume(one != two)
    keys, others = credentials.Keys(SECRET_KEY), credentials.Keys(OTHER_KEY)

    assert keys.hash(one) == credentials.Keys(SECRET_KEY).hash(one)
    assert len({keys.hash(one), keys.hash(two), others.hash(one), others.hash(two)}) == 4
    assert hashlib.sha256(one.encode()).hexdigest() != keys.hash(one)


@given(TEXT)
def test_a_change_of_the_key_keeps_what_was_stored(secret: str) -> None:
    before, during = credentials.Keys(SECRET_KEY), credentials.Keys(OTHER_KEY, SECRET_KEY)

    assert before.hash(secret) in during.hashes(secret)
    assert during.hash(secret) in during.hashes(secret)
    assert during.hash(secret) == credentials.Keys(OTHER_KEY).hash(secret)
    assert set(before.successors("grant", 1, secret)) < set(during.successors("grant", 1, secret))
    assert during.form_token_matches(before.form_token("browser", secret), "browser", secret)


@given(TEXT, TEXT, st.integers(0, 1000))
def test_a_successor_is_the_same_for_every_retry_and_for_nothing_else(
    grant: str, presented: str, generation: int
) -> None:
    keys = credentials.Keys(SECRET_KEY)
    successor = keys.successors(grant, generation, presented)[0]

    assert successor == keys.successors(grant, generation, presented)[0]
    assert presented not in successor or len(presented) < 10
    others = {
        keys.successors(grant + "x", generation, presented)[0],
        keys.successors(grant, generation + 1, presented)[0],
        keys.successors(grant, generation, presented + "x")[0],
        credentials.Keys(OTHER_KEY).successors(grant, generation, presented)[0],
    }
    assert successor not in others
    assert len(others) == 4


@given(TEXT, TEXT, TEXT)
def test_a_form_token_fits_its_browser_and_its_form_alone(browser: str, form: str, other: str) -> None:
    assume(other not in (browser, form))
    keys = credentials.Keys(SECRET_KEY)
    token = keys.form_token(browser, form)

    assert keys.form_token_matches(token, browser, form)
    assert not keys.form_token_matches(token, other, form)
    assert not keys.form_token_matches(token, browser, other)
    assert not keys.form_token_matches(token, browser)
    assert not keys.form_token_matches(other, browser, form)


# --------------------------------------------------------------------------------------------------- jwt
KEY = jwt.generate_signing_key()
PUBLISHED = {KEY.kid: jwt.import_verification_key(KEY.public_jwk)}


@given(st.dictionaries(st.sampled_from(["sub", "scope", "client_id"]), TEXT))
def test_what_was_signed_is_what_is_verified(claims: dict[str, str]) -> None:
    assert jwt.verify(jwt.sign(claims, KEY, "at+jwt"), PUBLISHED, "at+jwt") == claims


@given(st.one_of(st.text(max_size=200), st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")))
def test_anything_else_is_an_invalid_jwt(token: str) -> None:
    with pytest.raises(jwt.InvalidJWT):
        jwt.verify(token, PUBLISHED, "at+jwt")


@given(
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), st.none() | st.integers() | TEXT)
)
def test_any_header_without_a_signature_is_an_invalid_jwt(header: dict[str, object]) -> None:

    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    with pytest.raises(jwt.InvalidJWT):
        jwt.verify(f"{encoded}.e30.", PUBLISHED, "at+jwt")


def test_a_published_key_has_no_private_half() -> None:
    assert set(KEY.public_jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_a_key_survives_being_stored() -> None:
    stored = jwt.import_signing_key(KEY.kid, jwt.export_signing_key(KEY))

    assert jwt.verify(jwt.sign({"sub": "x"}, stored, "at+jwt"), PUBLISHED, "at+jwt") == {"sub": "x"}


@given(TEXT)
def test_what_is_sealed_opens_with_its_key_alone(text: str) -> None:
    mine, other = (credentials.Keys(key).encryption_keys("x") for key in (SECRET_KEY, OTHER_KEY))
    sealed = jwt.seal(text, mine[0])

    assert jwt.unseal(sealed, [*other, *mine]) == text
    assert text not in sealed or len(text) < 10
    for keys in (other, credentials.Keys(SECRET_KEY).encryption_keys("y"), []):
        with pytest.raises(jwt.InvalidJWT):
            jwt.unseal(sealed, keys)


def test_what_is_large_opens_too() -> None:
    """The library's own limit is below what hooks may attach to a grant."""
    keys = credentials.Keys("k" * 40).encryption_keys("test")
    assert jwt.unseal(jwt.seal("x" * 300_000, keys[0]), keys) == "x" * 300_000
