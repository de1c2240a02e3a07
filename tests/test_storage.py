"""What lies in the database and in the log: nothing that opens anything (contract.md, Stored)."""

import base64
import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from passlib.hash import argon2

from tests.support.world import (
    CHALLENGE,
    PASSWORD,
    REDIRECT_URI,
    SECRET_KEY,
    VERIFIER,
    World,
    answer_of,
    forms_of,
)

# SQLAlchemy does not read the index on lower(email) of SQLite; columns are all that is looked at here.
pytestmark = pytest.mark.filterwarnings("ignore:Skipped unsupported reflection:sqlalchemy.exc.SAWarning")


async def dump(world: World) -> dict[str, list[dict[str, Any]]]:
    """Every column of every row of every table, whatever the application believes to have."""

    def read(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
        tables = sa.MetaData()
        tables.reflect(connection)
        return {
            table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            for table in tables.sorted_tables
        }

    async with world.database.engine.connect() as connection:
        return await connection.run_sync(read)


def text_of(value: Any) -> str:
    """All that is readable in a dump, bytes in each spelling."""
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        spelled = (raw.decode("latin-1"), raw.hex(), base64.b64encode(raw).decode())
        return "\n".join((*spelled, base64.urlsafe_b64encode(raw).decode()))
    if isinstance(value, dict):
        return "\n".join(f"{key}\n{text_of(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(text_of(item) for item in value)
    return str(value)


def spellings(secret: str) -> list[str]:
    """The secret, and how it would look encoded."""
    raw = secret.encode()
    encoded = (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode())
    return [secret, raw.hex(), *(text.rstrip("=") for text in encoded)]


@dataclass
class Flow:
    """A whole life of two clients, and every secret that was seen on the wire meanwhile."""

    secrets: dict[str, str] = field(default_factory=dict)

    def saw(self, name: str, *values: str) -> None:
        """Remember secrets, and the long parts of those that have parts."""
        for value in values:
            for part in {value, *re.split(r"[.:|]", value)}:
                if len(part) >= 16:
                    self.secrets[part] = name

    async def run(self, world: World) -> None:
        """Register, sign in, approve, redeem, call, refresh, refuse, revoke."""
        self.saw("password", PASSWORD)
        self.saw("code_verifier", VERIFIER)
        self.saw("SECRET_KEY", SECRET_KEY)
        for method in ("none", "client_secret_post"):
            client = await world.register(token_endpoint_auth_method=method)
            self.saw("client_secret", *[client[n] for n in client if "secret" in n and "expires" not in n])
            self.saw("registration token", client.get("registration_access_token", ""))
            own = {"client_secret": client["client_secret"]} if "client_secret" in client else {}

            tokens = await self.keep(await world.redeem(client, await self._approved(world, client)))
            await world.call(tokens["access_token"])
            successor = await self.keep(await world.refresh(client, tokens["refresh_token"], **own))
            await self.keep(await world.refresh(client, tokens["refresh_token"], **own))  # a retry
            await world.refresh(client, successor["refresh_token"] + "x", **own)
            await world.redeem(client, "guessed")
            await world.call(successor["access_token"] + "x")
            assert (await world.revoke(client, successor["access_token"], **own)).status_code == 200
            assert (await world.revoke(client, successor["refresh_token"], **own)).status_code == 200

    async def keep(self, answer: httpx2.Response) -> dict[str, Any]:
        """The tokens of an answer, remembered; of the access token the signature alone as well."""
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        self.saw("access token", tokens["access_token"])
        self.saw("refresh token", tokens["refresh_token"])
        return tokens

    async def _approved(self, world: World, client: dict[str, Any]) -> str:
        browser = world.browser()
        parked = await world.authorize(browser, client, scope="mcp profile offline_access")
        await self._look(browser, parked.headers["location"])
        wrong = await world.sign_in(browser, password="a wrong password", at=parked.headers["location"])
        assert wrong.status_code != 303
        signed_in = await world.sign_in(browser, at=parked.headers["location"])
        consent = signed_in.headers["location"]
        await self._look(browser, consent)
        answer = await world.decide(browser, consent)
        self.saw("cookie", *[cookie.value or "" for cookie in browser.cookies.jar])
        code = answer_of(answer.headers["location"])["code"]
        self.saw("code", code)
        await self._look(browser, "/logout")
        return code

    async def _look(self, browser: httpx2.AsyncClient, path: str) -> None:
        page = await browser.get(path)
        hidden = [
            value for form in forms_of(page.text) for name, value in form.fields.items() if "csrf" in name
        ]
        assert hidden, path
        self.saw("CSRF token", *hidden)
        self.saw("cookie", *[cookie.value or "" for cookie in browser.cookies.jar])


@pytest.fixture
async def loud(make_world: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> World:
    """A server that logs all it can from the start."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")  # with the parameters of every statement
    world: World = await make_world()
    await world.create_user("alice")
    return world


def found(secrets: dict[str, str], text: str) -> list[str]:
    """The kinds of secrets that are in a text."""
    return sorted({name for value, name in secrets.items() if any(s in text for s in spellings(value))})


async def test_sto_1_no_secret_of_a_whole_flow_is_stored(world: World) -> None:
    flow = Flow()
    await flow.run(world)
    kinds = set(flow.secrets.values())
    assert kinds >= {"client_secret", "access token", "refresh token", "code", "cookie", "CSRF token"}

    tables = await dump(world)

    assert tables["grants"]
    assert tables["authorization_codes"]
    assert tables["refresh_tokens"]
    assert tables["sessions"]
    for table, rows in tables.items():
        assert found(flow.secrets, text_of(rows)) == [], table
    # The search finds what is there: the challenge is stored, as it has to be.
    assert found({CHALLENGE: "challenge"}, text_of(tables["authorization_codes"])) == ["challenge"]


def log_of(caplog: pytest.LogCaptureFixture) -> str:
    """All that the server's side logged; httpx2 is the test's own side of the wire."""
    records = [r for r in caplog.records if not r.name.startswith(("httpx2", "httpcore2"))]
    formatter = logging.Formatter("%(name)s %(message)s")
    return "\n".join(formatter.format(record) + repr(record.args) for record in records)


async def test_sto_1_no_secret_of_a_whole_flow_is_logged(
    loud: World, caplog: pytest.LogCaptureFixture
) -> None:
    flow = Flow()
    await flow.run(loud)
    forged = await loud.browser().post("/login", data={"username": "alice", "password": PASSWORD})
    assert forged.status_code == 403

    logged = log_of(caplog)

    assert "INSERT INTO refresh_tokens" in logged
    assert "app.routers" in logged
    assert found(flow.secrets, logged) == []


async def test_sto_1_no_secret_is_logged_or_answered_when_something_breaks(
    loud: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await loud.register()
    tokens, code = await loud.tokens(client), await loud.code(client)
    flow = Flow()
    flow.saw("secret", tokens["refresh_token"], tokens["access_token"], code, VERIFIER, PASSWORD)
    async with loud.database.transaction() as tx:
        for table in ("refresh_tokens", "sessions"):
            await tx.execute(sa.text(f"ALTER TABLE {table} RENAME TO moved_{table}"))

    refreshed = await loud.refresh(client, tokens["refresh_token"])
    redeemed = await loud.redeem(client, code)
    signed_in = await loud.sign_in(loud.browser())

    for answer in (refreshed, redeemed, signed_in):
        assert answer.status_code in {500, 503}
        assert "Traceback" not in answer.text
        assert "moved_" not in answer.text
        assert "sqlalchemy" not in answer.text.lower()
        assert found(flow.secrets, answer.text) == []
    for answer in (refreshed, redeemed):
        assert answer.json()["error"] in {"server_error", "temporarily_unavailable"}
        assert "no-store" in answer.headers["cache-control"]
    assert found(flow.secrets, log_of(caplog)) == []


async def test_sto_1_no_secret_is_shown_by_metrics_or_health(world: World) -> None:
    flow = Flow()
    await flow.run(world)
    for path in ("/metrics", "/healthz", "/readyz"):
        assert found(flow.secrets, (await world.http.get(path)).text) == []


# ------------------------------------------------------------------------------------------ passwords
@pytest.fixture
async def careful(make_world: Callable[..., Any]) -> World:
    """A server that hashes passwords as in production, and one person, alice."""
    world: World = await make_world(hash_cost=None)
    await world.create_user("alice")
    return world


async def test_sto_2_passwords_are_argon2id_with_a_salt_each(careful: World) -> None:
    await careful.create_user("bob")
    hashes = [row["password_hash"] for row in await careful.rows("SELECT password_hash FROM users")]
    assert len(set(hashes)) == 2
    for stored in hashes:
        parameters = re.fullmatch(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)", stored)
        assert parameters is not None
        memory, rounds, lanes = (int(number) for number in parameters.groups()[:3])
        # OWASP's least: 19 MiB with two rounds, or 46 MiB with one.
        assert (memory >= 19 * 1024 and rounds >= 2) or memory >= 46 * 1024
        assert lanes >= 1
        assert len(parameters[4]) >= 22  # 128 bits
        assert argon2.verify(PASSWORD, stored)


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"memory_cost": 8, "time_cost": 2}, id="STO-2-memory"),
        pytest.param({"memory_cost": 19 * 1024, "time_cost": 1}, id="STO-2-rounds"),
        pytest.param({"type": "I", "memory_cost": 19 * 1024, "time_cost": 2}, id="STO-2-argon2i"),
    ],
)
async def test_a_weak_hash_is_renewed_at_sign_in(careful: World, parameters: dict[str, Any]) -> None:
    weak = argon2.using(**{"type": "ID", "parallelism": 1, **parameters}).hash(PASSWORD)
    await store_hash(careful, weak)

    assert (await careful.sign_in(careful.browser(), password="wrong")).status_code != 303
    assert await stored_hash(careful) == weak
    assert (await careful.sign_in(careful.browser())).status_code == 303

    renewed = await stored_hash(careful)
    assert renewed != weak
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await careful.sign_in(careful.browser())).status_code == 303
    assert await stored_hash(careful) == renewed


async def stored_hash(world: World) -> str:
    """Alice's hash."""
    value: str = (await world.rows("SELECT password_hash FROM users"))[0]["password_hash"]
    return value


async def store_hash(world: World, value: str) -> None:
    """Put another hash in its place."""
    async with world.database.transaction() as tx:
        await tx.execute(sa.text("UPDATE users SET password_hash = :value"), {"value": value})


# ------------------------------------------------------------------------------------------ random secrets
def decoded(value: str) -> bytes:
    """The bytes of a hash in hex or base64url, whatever stands before it."""
    tail = re.split(r"[:.$]", value)[-1]
    if re.fullmatch(r"(?:[0-9a-f]{2})+", tail):
        return bytes.fromhex(tail)
    return base64.urlsafe_b64decode(tail + "=" * (-len(tail) % 4))


async def test_sto_3_random_secrets_are_stored_as_one_fast_hash(world: World) -> None:
    await Flow().run(world)
    columns = {
        "authorization_codes": "code_hash",
        "refresh_tokens": "token_hash",
        "sessions": "id_hash",
        "clients": "secret_hash",
    }
    for table, column in columns.items():
        rows = await world.rows(f"SELECT {column} AS hash FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608
        assert rows, table
        for row in rows:
            assert len(decoded(row["hash"])) == hashlib.sha256().digest_size, table
    # Each hash is of its own kind: what one table has says nothing in another.
    every = [row for rows in (await dump(world)).values() for row in rows]
    hashes = [v for row in every for name, v in row.items() if v and name in {*columns.values()}]
    assert len(set(hashes)) == len(hashes)


async def test_sto_3_random_secrets_have_256_bits(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    browser = await world.signed_in_browser()
    code = await world.code(client)
    tokens = (await world.redeem(client, code)).json()
    cookies = [cookie.value or "" for cookie in browser.cookies.jar]
    assert len(cookies) >= 2
    for secret in (client["client_secret"], code, tokens["refresh_token"], *cookies):
        assert len(base64.urlsafe_b64decode(secret[-43:] + "=")) == 32
        assert len(set(secret[-43:])) > 15


async def test_sto_3_a_hash_from_the_table_opens_nothing(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    tokens = await world.tokens(client)
    row = (await world.rows("SELECT token_hash FROM refresh_tokens"))[0]["token_hash"]
    secret = (await world.rows("SELECT secret_hash FROM clients"))[0]["secret_hash"]
    own = {"client_secret": client["client_secret"]}

    assert (await world.refresh(client, row, **own)).json()["error"] == "invalid_grant"
    forged = await world.refresh(client, tokens["refresh_token"], client_secret=secret)
    assert (forged.status_code, forged.json()["error"]) == (401, "invalid_client")
    assert (await world.refresh(client, tokens["refresh_token"], **own)).status_code == 200


def test_the_dump_is_searched_in_every_spelling() -> None:
    """A check of the checks above."""
    secret = "a secret that somebody stored"
    encoded: Iterable[Any] = (
        secret,
        secret.encode(),
        secret.encode().hex(),
        {"nested": [secret]},
        base64.b64encode(secret.encode()).decode(),
        json.dumps({"x": secret}),
    )
    for value in encoded:
        assert found({secret: "secret"}, text_of([{"column": value}])) == ["secret"]
    assert REDIRECT_URI not in text_of([{"column": "other"}])
