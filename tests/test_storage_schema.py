"""The schema: what an operator finds in it, and that it goes up, down and up again."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from app.accounts import records as people
from app.authorization_server import records as server
from app.database import metadata
from app.migrations import alembic_config
from tests import device_flow
from tests.dpop_flow import bound_tokens
from tests.front_channel import change
from tests.support.dpop import Prover
from tests.support.world import World, running_world

RECORDS = {
    "users": people.User,
    "sessions": people.Session,
    "devices": people.Device,
    "identities": people.Identity,
    "passkeys": people.Passkey,
    "passkey_challenges": people.PasskeyChallenge,
    "authenticators": people.Authenticator,
    "recovery_codes": people.RecoveryCode,
    "pending_sign_ins": people.PendingSignIn,
    "upstream_sign_ins": people.UpstreamSignIn,
    "account_links": people.AccountLink,
    "clients": server.Client,
    "authorization_requests": server.AuthorizationRequest,
    "grants": server.Grant,
    "authorization_codes": server.AuthorizationCode,
    "refresh_tokens": server.RefreshToken,
    "signing_keys": server.StoredSigningKey,
    "device_authorizations": server.DeviceAuthorization,
    "pushed_requests": server.PushedRequest,
    "initial_access_tokens": server.InitialAccessToken,
}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a loop of its own, as Alembic's environment does."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


async def tables_in(world: World) -> set[str]:
    """The tables of the database itself."""
    async with world.database.engine.connect() as connection:
        return set(await connection.run_sync(lambda c: sa.inspect(c).get_table_names()))


# ------------------------------------------------------------------------------------------ migrations
def test_sto_8_the_migrations_make_what_the_code_has(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_sto_8_there_is_one_line_of_revisions(database_url: str) -> None:
    script = ScriptDirectory.from_config(alembic_config(database_url))
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1


@pytest.mark.parametrize(
    "target", [pytest.param("-1", id="STO-8-one-step"), pytest.param("base", id="STO-8-base")]
)
def test_with_live_data_the_schema_goes_down_and_up_again(database_url: str, target: str) -> None:
    config = alembic_config(database_url)
    client, tokens = run(_live(database_url))

    command.downgrade(config, target)
    revisions = list(ScriptDirectory.from_config(config).walk_revisions())
    if target == "base" or len(revisions) == 1:
        assert run(_tables(database_url)) == {"alembic_version"}
    command.upgrade(config, "head")
    command.check(config)

    if target == "-1" and len(revisions) > 1:
        run(_still_works(database_url, client, tokens))
    else:
        run(_live(database_url))


def test_sto_8_what_the_previous_code_would_read_without_its_limits_goes(database_url: str) -> None:
    """A token that is bound to a key, a question that asks for a new sign-in, and whoever has no password."""
    config = alembic_config(database_url)
    client, free = run(_limited(database_url))

    command.downgrade(config, "0001")
    command.upgrade(config, "head")

    # Of alice three sign-ins and what she allowed remain: nothing that was bound, and nothing of bob or the device.
    assert run(_rows(database_url)) == {
        "users": 1,
        "sessions": 3,
        "devices": 3,
        "grants": 3,
        "authorization_codes": 2,
        "refresh_tokens": 1,
        "authorization_requests": 1,
    }
    run(_still_works(database_url, client, free))


def test_sto_8_an_upgrade_that_has_nothing_to_do_loses_nothing(database_url: str) -> None:
    client, tokens = run(_live(database_url))
    command.upgrade(alembic_config(database_url), "head")
    run(_still_works(database_url, client, tokens))


async def _live(database_url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    async with running_world(database_url) as world:
        await world.create_user("alice")
        client = await world.register()
        tokens = await world.tokens(client)
        await world.code(client)
        return client, (await world.refresh(client, tokens["refresh_token"])).json()


async def _limited(database_url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    async with running_world(database_url) as world:
        for name in ("alice", "bob"):
            await world.create_user(name)
        client, prover = await world.register(), Prover()
        free = await world.tokens(client)
        await world.code(client, "bob")
        await bound_tokens(world, client, prover)
        await world.code(client, dpop_jkt=prover.thumbprint)
        await world.authorize(world.browser(), client, prompt="login")
        await device_flow.tokens(world, await device_flow.register(world))
        await change(world, "DELETE FROM authorization_requests WHERE decided_at IS NOT NULL")
        await world.authorize(world.browser(), client)
        await change(world, "UPDATE users SET password_hash = NULL WHERE username = 'bob'")
        return client, free


async def _rows(database_url: str) -> dict[str, int]:
    tables = (
        *("users", "sessions", "devices", "grants"),
        *("authorization_codes", "refresh_tokens", "authorization_requests"),
    )
    async with running_world(database_url) as world:
        counts = {name: f"SELECT count(*) AS n FROM {name}" for name in tables}  # noqa: S608
        return {name: (await world.rows(statement))[0]["n"] for name, statement in counts.items()}


async def _still_works(database_url: str, client: dict[str, Any], tokens: dict[str, Any]) -> None:
    async with running_world(database_url) as world:
        assert (await world.call(tokens["access_token"])).status_code == 200
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200
        assert (await world.sign_in(world.browser())).status_code == 303


async def _tables(database_url: str) -> set[str]:
    engine = create_async_engine(database_url)
    try:
        async with engine.connect() as connection:
            return set(await connection.run_sync(lambda c: sa.inspect(c).get_table_names()))
    finally:
        await engine.dispose()


# ------------------------------------------------------------------------------------------ what an operator finds
async def test_every_table_of_the_database_is_known(world: World) -> None:
    assert await tables_in(world) - {"alembic_version"} == set(metadata.tables)
    expected = {"clients", "grants", "authorization_codes", "refresh_tokens", "users", "sessions"}
    assert expected | {"signing_keys", "audit_events"} <= set(metadata.tables)


def test_every_table_and_column_tells_what_it_is() -> None:
    for table in metadata.tables.values():
        assert table.comment, table.name
        for column in table.columns:
            assert column.comment, f"{table.name}.{column.name}"


@pytest.mark.postgresql
async def test_the_catalogue_of_postgresql_tells_it_too(postgres_url: str) -> None:
    uncommented = """
        SELECT c.relname AS "table", a.attname AS "column"
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0 AND NOT a.attisdropped
        WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname <> 'alembic_version'
          AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
    """
    async with running_world(postgres_url) as world:
        assert await world.rows(uncommented) == []
        instants = await world.rows(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND data_type IN ('timestamp without time zone', 'date', 'time without time zone')"
        )
        assert instants == []


@pytest.mark.parametrize("table", sorted(RECORDS))
def test_the_fields_of_a_record_are_the_columns_of_its_table(table: str) -> None:
    record = RECORDS[table]
    assert sorted(field.name for field in fields(record)) == sorted(
        column.name for column in metadata.tables[table].columns
    )
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_every_record_that_has_a_table_is_compared() -> None:
    records = [
        value
        for module in (people, server)
        for value in vars(module).values()
        if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
    ]
    columns = [{column.name for column in table.columns} for table in metadata.tables.values()]
    with_table = {record for record in records if {field.name for field in fields(record)} in columns}
    assert with_table <= set(RECORDS.values())


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_names_of_tables_are_plural(table: str) -> None:
    assert table.endswith("s")


async def test_what_belongs_together_goes_together(make_world: Callable[..., Any]) -> None:
    """Deleting a person leaves nothing that points to nobody."""
    world = await make_world()
    await world.create_user("alice")
    await world.tokens(await world.register())
    async with world.database.transaction() as tx:
        await tx.execute(sa.text("DELETE FROM users"))
    counts = await world.counts()
    assert {
        name: counts[name] for name in ("grants", "authorization_codes", "refresh_tokens", "sessions")
    } == {
        "grants": 0,
        "authorization_codes": 0,
        "refresh_tokens": 0,
        "sessions": 0,
    }
