"""Enterprise-managed authorization: identity assertions (ID-JAG) at the token endpoint (RFC 7523, OPT-11)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.authorization_server.tables import clients
from tests.back_channel import assert_error, disable_user, refused, revoke_grants
from tests.support.dpop import Prover
from tests.support.internet import HOST, Internet, answer, running_internet
from tests.support.world import World, running_world

pytest_plugins = ["tests.standing"]

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PROFILE = "urn:ietf:params:oauth:grant-profile:id-jag"
ISSUER, STRICT = f"https://{HOST}", f"https://{HOST}/strict"
KEY, OTHER = Prover("ES256"), Prover("ES256")
TRUSTED = [
    {"issuer": ISSUER, "jwks_uri": f"https://{HOST}/keys.json", "create_users": True},
    {"issuer": STRICT, "jwks_uri": f"https://{HOST}/keys.json"},
    {"issuer": f"{ISSUER}/silent", "jwks_uri": f"https://{HOST}/nothing.json"},
]
SCOPES = [{"name": "run", "sentence": "Run the server", "admins_only": True}]


@dataclass
class Enterprise:
    """A server that trusts an enterprise, and a client of the operator's that the enterprise knows."""

    world: World
    internet: Internet
    client: dict[str, Any]
    numbers: int = 0

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A good assertion's; a change to None leaves a claim out."""
        now = int(self.world.clock.now().timestamp())
        self.numbers += 1
        claims = {
            "iss": ISSUER,
            "sub": "u-1",
            "aud": self.world.settings.public_url,
            "client_id": self.client["client_id"],
            "resource": self.world.settings.resource,
            "scope": "mcp profile",
            "jti": f"jti-{self.numbers}",
            "iat": now,
            "exp": now + 300,
            "preferred_username": "Erika.Muster",
            "name": "Erika Muster",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(self, *, key: Prover = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """Signed by the enterprise."""
        kind = {"alg": "ES256", "kid": "1", "typ": "oauth-id-jag+jwt", **(header or {})}
        return key.sign(kind, self.claims(**changes))

    async def present(self, assertion: str, **changes: Any) -> httpx2.Response:
        """Send it to the token endpoint."""
        form = {
            "grant_type": GRANT_TYPE,
            "assertion": assertion,
            "client_id": self.client["client_id"],
            "client_secret": self.client["client_secret"],
            **changes,
        }
        form = {name: value for name, value in form.items() if value is not None}
        # Each from its own address: what is refused here is counted elsewhere.
        self.numbers += 1
        async with self.world.machine(f"198.51.{self.numbers // 250}.{self.numbers % 250}") as machine:
            return await machine.post("/oauth/token", data=form)


async def operators_client(world: World, *grant_types: str, **metadata: Any) -> dict[str, Any]:
    """A confidential client that the operator made for these grants."""
    client = await world.register(token_endpoint_auth_method="client_secret_post", **metadata)
    async with world.database.transaction() as tx:
        same = clients.c.client_id == client["client_id"]
        values = {"registration": "manual", "grant_types": list(grant_types)}
        await tx.execute(sa.update(clients).where(same).values(values))
    return client


@pytest.fixture(scope="module")
async def enterprise(standing_url: str) -> AsyncIterator[Enterprise]:
    async with running_internet() as internet:
        keys = {"keys": [{**KEY.jwk, "kid": "1"}]}
        internet.pages["/keys.json"] = answer(keys, cache_control="max-age=3600")
        async with running_world(
            standing_url, internet.egress(), trusted_issuers=TRUSTED, scopes=SCOPES
        ) as world:
            yield Enterprise(world, internet, await operators_client(world, GRANT_TYPE))


def claims_of(token: str) -> dict[str, Any]:
    """What an access token says."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_the_enterprise_vouches_and_the_tool_knows_whom_it_serves(enterprise: Enterprise) -> None:
    world = enterprise.world
    answer = await enterprise.present(enterprise.assertion())
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"], body["scope"]) == ("Bearer", "mcp profile")
    assert "refresh_token" not in body
    claims = claims_of(body["access_token"])
    assert (claims["aud"], claims["client_id"]) == (world.settings.resource, enterprise.client["client_id"])
    result = (await world.call(body["access_token"])).json()["result"]["structuredContent"]
    assert (result["username"], result["name"]) == ("erika.muster", "Erika Muster")
    again = (await enterprise.present(enterprise.assertion(preferred_username="renamed"))).json()
    assert claims_of(again["access_token"])["sub"] == claims["sub"], "one person became two"
    [identity] = await world.rows("SELECT * FROM identities WHERE subject = 'u-1'")
    assert (identity["issuer"], identity["user_id"]) == (ISSUER, claims["sub"])
    [user] = await world.rows("SELECT * FROM users WHERE id = :id", id=claims["sub"])
    assert (user["password_hash"], bool(user["is_admin"])) == (None, False)


async def test_nobody_signs_in_to_an_account_without_a_password(enterprise: Enterprise) -> None:
    await enterprise.present(enterprise.assertion(sub="no password", preferred_username="nopassword"))
    for password in ("", "x" * 20):
        answer = await enterprise.world.sign_in(enterprise.world.browser(), "nopassword", password)
        assert answer.status_code == 401


async def test_a_new_person_gets_a_name_that_is_free_and_can_be_typed(enterprise: Enterprise) -> None:
    people: dict[str, dict[str, Any]] = {
        "n1": {"preferred_username": "Same Name"},
        "n2": {"preferred_username": "same name"},
        "n3": {"preferred_username": None, "email": "Who@corp.example", "name": "Who Ever"},
        "n4": {"preferred_username": "\u202e", "name": None},
        "n5": {"preferred_username": 7, "name": ["x"], "email": {}, "email_verified": True},
    }
    for subject, claims in people.items():
        answer = await enterprise.present(enterprise.assertion(sub=subject, **claims))
        assert answer.status_code == 200, answer.text
    rows = await enterprise.world.rows(
        "SELECT i.subject, u.username, u.name, u.email FROM users u JOIN identities i ON i.user_id = u.id"
        " WHERE i.subject LIKE 'n_' ORDER BY 1"
    )
    names = [row["username"] for row in rows]
    assert names[0] == "same-name"
    assert names[1].startswith("same-name-")
    assert (names[2], rows[2]["name"], rows[2]["email"]) == ("who@corp.example", "Who Ever", None)
    assert names[3] == "person"
    assert names[4].startswith("person-")


@pytest.mark.parametrize(
    ("verified", "accounts_with_it", "linked"),
    [
        pytest.param(True, 1, True, id="verified"),
        pytest.param(None, 1, False, id="not verified"),
        pytest.param("true", 1, False, id="verified only as text"),
        pytest.param(True, 2, False, id="shared by two"),
        pytest.param(True, 0, False, id="nobody's"),
    ],
)
async def test_an_account_is_linked_by_an_address_that_the_issuer_verified(
    enterprise: Enterprise, verified: object, accounts_with_it: int, linked: bool
) -> None:
    world, mark = enterprise.world, f"m{enterprise.numbers}"
    email = f"{mark}@corp.example"
    users = [await world.create_user(f"{mark}-{number}", email=email) for number in range(accounts_with_it)]
    assertion = enterprise.assertion(iss=STRICT, sub=mark, email=email.upper(), email_verified=verified)
    answer = await enterprise.present(assertion)
    assert answer.status_code == (200 if linked else 400), answer.text
    if linked:
        assert claims_of(answer.json()["access_token"])["sub"] == users[0].id
    else:
        assert answer.json()["error"] == "invalid_grant"
        assert await world.rows("SELECT * FROM identities WHERE subject = :mark", mark=mark) == []


@pytest.mark.parametrize("email", ["a\x00@corp.example", "\ud800@corp.example", "a\r\n@corp.example"])
async def test_an_address_that_can_not_be_shown_names_nobody(enterprise: Enterprise, email: str) -> None:
    assertion = enterprise.assertion(iss=STRICT, sub="unshowable", email=email, email_verified=True)
    await refused(enterprise.world, enterprise.present(assertion), 400, "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"iss": "https://unknown.example"}, "issuer_not_trusted", id="issuer unknown"),
        pytest.param({"iss": f"{ISSUER}/"}, "issuer_not_trusted", id="issuer spelled otherwise"),
        pytest.param({"iss": None}, "issuer_not_trusted", id="no issuer"),
        pytest.param({"iss": [ISSUER]}, "issuer_not_trusted", id="issuers"),
        pytest.param({"iss": f"{ISSUER}/silent"}, "issuer_keys_unavailable", id="issuer without keys"),
        pytest.param({"key": OTHER}, "assertion_invalid", id="signed by another key"),
        pytest.param({"header": {"typ": "JWT"}}, "assertion_invalid", id="an ordinary JWT"),
        pytest.param({"header": {"typ": None}}, "assertion_invalid", id="without typ"),
        pytest.param({"header": {"alg": "none"}}, "assertion_invalid", id="alg none"),
        pytest.param({"header": {"alg": "HS256"}}, "assertion_invalid", id="alg HS256"),
        pytest.param({"header": {"kid": "2"}}, "assertion_invalid", id="unknown kid"),
        pytest.param({"header": {"crit": ["exp"]}}, "assertion_invalid", id="crit"),
        pytest.param({"aud": "https://other.example"}, "assertion_audience", id="OPT-11 wrong aud"),
        pytest.param({"aud": None}, "assertion_audience", id="OPT-11 no aud"),
        pytest.param({"aud": ["http://localhost:8000", "x"]}, "assertion_audience", id="two audiences"),
        pytest.param({"client_id": "client_other"}, "assertion_of_another_client", id="another client's"),
        pytest.param({"client_id": None}, "assertion_of_another_client", id="no client"),
        pytest.param({"sub": None}, "assertion_sub", id="nobody"),
        pytest.param({"sub": ""}, "assertion_sub", id="an empty sub"),
        pytest.param({"sub": 7}, "assertion_sub", id="sub a number"),
        pytest.param({"sub": "x" * 501}, "assertion_sub", id="sub too long"),
        pytest.param({"sub": "a\x00"}, "assertion_sub", id="sub with NUL"),
        pytest.param({"jti": None}, "assertion_jti", id="no jti"),
        pytest.param({"jti": ["x"]}, "assertion_jti", id="jti a list"),
        pytest.param({"iat": None}, "assertion_iat", id="no iat"),
        pytest.param({"exp": None}, "assertion_invalid", id="no exp"),
        pytest.param({"exp": "later"}, "assertion_invalid", id="exp a text"),
        pytest.param({"exp": 1}, "assertion_invalid", id="OPT-11 expired"),
        pytest.param({"exp": 10**30}, "assertion_invalid", id="good for ever"),
        pytest.param({"iat": 10**10}, "assertion_invalid", id="made later"),
        pytest.param({"nbf": 10**10}, "assertion_invalid", id="not yet good"),
        pytest.param({"resource": None}, "assertion_resource", id="no resource"),
        pytest.param({"resource": ["x"]}, "assertion_resource", id="resources"),
        pytest.param({"resource": "https://other.example/mcp"}, "assertion_invalid", id="another resource"),
        pytest.param({"authorization_details": []}, "assertion_restricted", id="authorization_details"),
        pytest.param({"cnf": {"jkt": "x"}}, "assertion_restricted", id="bound to a key"),
        pytest.param({"iss": STRICT, "sub": "unknown"}, "person_unknown", id="a person unknown here"),
    ],
)
async def test_an_assertion_that_is_not_good_is_refused(
    enterprise: Enterprise, changes: dict[str, Any], reason: str
) -> None:
    world = enterprise.world
    assertion = enterprise.assertion(**changes)
    answer = await refused(world, enterprise.present(assertion), 400, "invalid_grant")
    assert answer.json()["error_description"] == "The assertion is not valid."
    assert (await world.last_refusal())["reason"] == reason


@pytest.mark.parametrize("assertion", ["x", "a.b.c", "e30.e30.e30", "y" * 9000, "é.é.é"])
async def test_what_is_no_assertion_is_refused(enterprise: Enterprise, assertion: str) -> None:
    await refused(enterprise.world, enterprise.present(assertion), 400, "invalid_grant")


async def test_opt_11_an_assertion_is_presented_once(enterprise: Enterprise) -> None:
    assertion = enterprise.assertion()
    assert (await enterprise.present(assertion)).status_code == 200
    await refused(enterprise.world, enterprise.present(assertion), 400, "invalid_grant")


async def test_the_same_jti_of_two_issuers_is_not_the_same(enterprise: Enterprise) -> None:
    assert (await enterprise.present(enterprise.assertion(jti="same", sub="u-1"))).status_code == 200
    await enterprise.world.create_user("linked", email="linked@corp.example")
    other = enterprise.assertion(
        jti="same", iss=STRICT, sub="l-1", email="linked@corp.example", email_verified=True
    )
    assert (await enterprise.present(other)).status_code == 200


async def test_twenty_at_once_present_one_assertion(enterprise: Enterprise) -> None:
    assertion = enterprise.assertion(sub="a new person, twenty times")
    answers = await asyncio.gather(*(enterprise.present(assertion) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19


async def test_a_new_person_who_comes_twenty_times_at_once_is_one_person(enterprise: Enterprise) -> None:
    sent = [enterprise.present(enterprise.assertion(sub="all at once")) for _ in range(20)]
    answers = await asyncio.gather(*sent)
    subjects = {claims_of(answer.json()["access_token"])["sub"] for answer in answers}
    assert len(subjects) == 1


@pytest.mark.parametrize(
    ("claimed", "asked", "granted"),
    [
        pytest.param("mcp profile", "mcp", "mcp", id="asks for less"),
        pytest.param("mcp profile", "mcp email", "mcp", id="asks for more"),
        pytest.param("mcp unknown offline_access openid", None, "mcp", id="claims what means nothing here"),
        pytest.param("mcp run", None, "mcp", id="AUZ-26 claims what is for admins"),
        pytest.param("run", None, None, id="AUZ-26 claims only that"),
        pytest.param("mcp", "email", None, id="asks for something else"),
        pytest.param(None, None, None, id="claims nothing"),
        pytest.param(None, "mcp", None, id="claims nothing, asks"),
        pytest.param(["mcp"], None, None, id="claims a list"),
        pytest.param('mcp "', None, None, id="claims something malformed"),
    ],
)
async def test_the_scope_is_what_both_sides_allow(
    enterprise: Enterprise, claimed: Any, asked: str | None, granted: str | None
) -> None:
    answer = await enterprise.present(enterprise.assertion(scope=claimed), scope=asked)
    if granted is None:
        assert_error(answer, 400, "invalid_scope")
    else:
        assert answer.json()["scope"] == granted


async def test_the_request_may_name_the_resource_but_no_other(enterprise: Enterprise) -> None:
    resource = enterprise.world.settings.resource
    assert (await enterprise.present(enterprise.assertion(), resource=resource)).status_code == 200
    answer = await enterprise.present(enterprise.assertion(), resource="https://other.example/")
    assert_error(answer, 400, "invalid_grant")
    assert (await enterprise.present(enterprise.assertion(resource=f"{resource}/"))).status_code == 200


async def test_someone_who_is_disabled_here_is_refused(enterprise: Enterprise) -> None:
    world = enterprise.world
    token = (await enterprise.present(enterprise.assertion(sub="d", preferred_username="leaver"))).json()
    await disable_user(world, "leaver")
    assert (await world.call(token["access_token"])).status_code == 401
    answer = await enterprise.present(enterprise.assertion(sub="d"))
    assert_error(answer, 400, "invalid_grant")


async def test_revoking_the_grant_kills_the_token(enterprise: Enterprise) -> None:
    world = enterprise.world
    token = (await enterprise.present(enterprise.assertion())).json()["access_token"]
    await revoke_grants(world, claims_of(token)["grant_id"])
    assert (await world.call(token)).status_code == 401


async def test_opt_11_a_client_without_the_right_is_refused(enterprise: Enterprise) -> None:
    world = enterprise.world
    ordinary = await world.register(token_endpoint_auth_method="client_secret_post")
    names = {"client_id": ordinary["client_id"], "client_secret": ordinary["client_secret"]}
    assertion = enterprise.assertion(client_id=ordinary["client_id"])
    await refused(world, enterprise.present(assertion, **names), 400, "unauthorized_client")
    body = {"redirect_uris": ["http://127.0.0.1/cb"], "grant_types": ["authorization_code", GRANT_TYPE]}
    answer = await world.http.post("/oauth/register", json=body)
    assert_error(answer, 400, "invalid_client_metadata")


async def test_a_public_client_has_nothing_to_vouch_with(enterprise: Enterprise) -> None:
    world, client = enterprise.world, await operators_client(enterprise.world, GRANT_TYPE)
    same = clients.c.client_id == client["client_id"]
    async with world.database.transaction() as tx:
        await tx.execute(sa.update(clients).where(same).values(token_endpoint_auth_method="none"))
    names = {"client_id": client["client_id"], "client_secret": None}
    assertion = enterprise.assertion(client_id=client["client_id"])
    await refused(world, enterprise.present(assertion, **names), 400, "unauthorized_client")


@pytest.mark.parametrize(
    "changes", [pytest.param({"assertion": None}, id="missing"), pytest.param({"scope": 'a"'}, id="scope")]
)
async def test_a_request_that_can_not_be_read_is_refused(
    enterprise: Enterprise, changes: dict[str, Any]
) -> None:
    form = {"assertion": enterprise.assertion(), **changes}
    answer = await enterprise.present(**form)
    assert_error(answer, 400, "invalid_request", "invalid_scope")


async def test_the_profile_is_told_only_while_someone_is_trusted(
    enterprise: Enterprise, make_world: Callable[..., Any]
) -> None:
    path = "/.well-known/oauth-authorization-server"
    told = (await enterprise.world.http.get(path)).json()
    assert told["authorization_grant_profiles_supported"] == [PROFILE]
    assert GRANT_TYPE in told["grant_types_supported"]
    for settings in ({}, {"trusted_issuers": TRUSTED, "features_off": "jwt_bearer"}):
        world = await make_world(**settings)
        silent = (await world.http.get(path)).json()
        assert "authorization_grant_profiles_supported" not in silent
        assert GRANT_TYPE not in silent["grant_types_supported"]
        answer = await world.http.post("/oauth/token", data={"grant_type": GRANT_TYPE, "assertion": "x"})
        assert_error(answer, 400, "unsupported_grant_type")
