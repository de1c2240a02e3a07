"""Signing keys and the key that everything is derived from: restarts, replicas, a change of SECRET_KEY."""

import base64
import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.settings import InvalidSettings, Settings, load_settings
from tests.command_line import assert_refused, command_line
from tests.support.process import run_command, running_server, settings_on
from tests.support.world import SECRET_KEY, World, answer_of, running_world

OTHER_KEY = "another secret key of the tests, as long"


async def keys_of(world: World) -> Any:
    """The published keys."""
    return (await world.http.get("/.well-known/jwks.json")).json()


def readings(text: str) -> Iterator[bytes]:
    """A column as it is, and decoded in each way that it could be."""
    yield text.encode()
    for part in {text, *re.split(r"[.:$]", text)}:
        for decode in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
            try:
                yield decode(part + ("=" * (-len(part) % 4) if decode is not bytes.fromhex else ""))
            except ValueError:
                continue


# ------------------------------------------------------------------------------------------ at rest
async def test_sto_5_the_private_key_is_not_in_the_database_in_clear(world: World) -> None:
    (row,) = await world.rows("SELECT * FROM signing_keys")
    public = (await keys_of(world))["keys"][0]
    for name, value in row.items():
        for reading in readings(value if isinstance(value, str) else json.dumps(value, default=str)):
            assert b"PRIVATE" not in reading, name
            assert not re.search(rb'"(?:d|p|q|dp|dq|qi)"\s*:', reading), name
            if "private" in name:
                # A key in DER or raw would carry its public half, or the type, with it.
                assert base64.urlsafe_b64decode(public["x"] + "=") not in reading
                assert public["x"].encode() not in reading
                assert not reading.startswith(b"0\x81"), name


@pytest.mark.parametrize("position", [10, 150, -30])
async def test_sto_5_a_tampered_key_is_refused(database_url: str, position: int) -> None:
    async with running_world(database_url) as world:
        (row,) = await world.rows("SELECT private_jwk_sealed AS sealed FROM signing_keys")
        letters = list(row["sealed"])
        letters[position] = "A" if letters[position] != "A" else "B"
        async with world.database.transaction() as tx:
            await tx.execute(
                sa.text("UPDATE signing_keys SET private_jwk_sealed = :sealed"), {"sealed": "".join(letters)}
            )
    with pytest.raises(Exception, match="SECRET_KEY"):
        async with running_world(database_url):
            pass


# ------------------------------------------------------------------------------------------ restarts and replicas
async def test_sto_5_a_restart_keeps_the_keys(database_url: str) -> None:
    async with running_world(database_url) as world:
        await world.create_user("alice")
        client = await world.register()
        tokens, published = await world.tokens(client), await keys_of(world)
    async with running_world(database_url) as world:
        assert await keys_of(world) == published
        assert (await world.call(tokens["access_token"])).status_code == 200
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200
        assert (await world.rows("SELECT count(*) AS n FROM signing_keys"))[0]["n"] == 1


async def test_sto_5_a_second_replica_has_the_same_keys(make_world: Callable[..., Any]) -> None:
    first, second = await make_world(), await make_world()
    await first.create_user("alice")
    assert await keys_of(first) == await keys_of(second)
    client = await first.register()
    tokens = await first.tokens(client)
    assert (await second.call(tokens["access_token"])).status_code == 200
    refreshed = await second.refresh(client, tokens["refresh_token"])
    assert refreshed.status_code == 200
    assert (await first.call(refreshed.json()["access_token"])).status_code == 200


# ------------------------------------------------------------------------------------------ a change of SECRET_KEY
async def test_sto_5_another_secret_key_is_refused(database_url: str) -> None:
    async with running_world(database_url) as world:
        published = await keys_of(world)
    with pytest.raises(Exception, match="SECRET_KEY"):
        async with running_world(database_url, secret_key=OTHER_KEY):
            pass
    with pytest.raises(Exception, match="SECRET_KEY"):
        async with running_world(database_url, secret_key=OTHER_KEY, secret_key_previous=OTHER_KEY + "!"):
            pass
    async with running_world(database_url) as world:
        assert await keys_of(world) == published


def test_sto_5_the_command_says_in_one_sentence_what_is_wrong(tmp_path: Path) -> None:
    settings = settings_on(f"sqlite+aiosqlite:///{tmp_path}/ostiary.db")
    with running_server(tmp_path, settings):
        pass
    refused = run_command(tmp_path, {**settings, "SECRET_KEY": OTHER_KEY}, "serve")
    assert refused.returncode == 1
    assert "SECRET_KEY" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) <= 2
    assert OTHER_KEY not in refused.stderr + refused.stdout


@pytest.mark.parametrize("arguments", [(), ("--distrust",)])
async def test_sto_5_with_another_secret_key_no_key_is_made_that_no_server_could_read(
    world: World, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    published = await keys_of(world)
    stranger = command_line(world.settings.database_url, tmp_path, SECRET_KEY=OTHER_KEY)
    assert_refused(await stranger.quickly("keys", "rotate", *arguments), "SECRET_KEY")
    assert len(await world.rows("SELECT kid FROM signing_keys WHERE retired_at IS NULL")) == 1
    assert await keys_of(world) == published


async def test_sto_5_a_new_secret_key_with_the_previous_one_loses_nothing(database_url: str) -> None:
    async with running_world(database_url) as world:
        await world.create_user("alice")
        public = await world.register()
        secret = await world.register(token_endpoint_auth_method="client_secret_post")
        browser = await world.signed_in_browser()
        tokens, code, published = await world.tokens(public), await world.code(public), await keys_of(world)
        own = {"client_secret": secret["client_secret"]}
        secret_tokens = await world.tokens(secret)
        rotated = await world.tokens(public)
        successor = (await world.refresh(public, rotated["refresh_token"])).json()["refresh_token"]

    async with running_world(database_url, secret_key=OTHER_KEY, secret_key_previous=SECRET_KEY) as world:
        assert await keys_of(world) == published
        assert (await world.call(tokens["access_token"])).status_code == 200
        # A retry inside the window still gets the one successor, not a revocation.
        retried = await world.refresh(public, rotated["refresh_token"])
        assert (retried.status_code, retried.json().get("refresh_token")) == (200, successor)
        for client, token, more in (
            (public, tokens["refresh_token"], {}),
            (secret, secret_tokens["refresh_token"], own),
            (public, successor, {}),
        ):
            refreshed = await world.refresh(client, token, **more)
            assert refreshed.status_code == 200, refreshed.text
            # What is new is good, too, and stays so.
            again = await world.refresh(client, refreshed.json()["refresh_token"], **more)
            assert again.status_code == 200, again.text
        assert (await world.redeem(public, code)).status_code == 200
        wrong = await world.refresh(secret, "unknown", client_secret="wrong")
        assert wrong.status_code == 401
        # The person is still signed in: no sign-in stands before the consent page.
        async with carried(world, browser) as later:
            parked = await world.authorize(later, public)
            answer = await world.decide(later, parked.headers["location"])
            assert "code" in answer_of(answer.headers["location"])


def carried(world: World, browser: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """The same browser, with its cookies, in front of the server that was started anew."""
    later = world.browser()
    later.cookies = browser.cookies
    return later


async def test_sto_5_after_the_change_the_previous_key_can_be_let_go(database_url: str) -> None:
    """Signing keys are sealed anew while both keys are there; the new one alone opens them then."""
    async with running_world(database_url) as world:
        published = await keys_of(world)
    async with running_world(database_url, secret_key=OTHER_KEY, secret_key_previous=SECRET_KEY):
        pass
    async with running_world(database_url, secret_key=OTHER_KEY) as world:
        assert await keys_of(world) == published


# ------------------------------------------------------------------------------------------ the key's file
@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a first start finds nothing: no `.env`, no variable."""
    folder = tmp_path / "first"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return folder


def test_sto_5_on_loopback_the_first_start_makes_a_key_only_the_owner_reads(empty_folder: Path) -> None:
    first, second = load_settings(), load_settings()
    assert len(first.secret_key.encode()) >= 32
    assert second.secret_key == first.secret_key
    files = [path for path in (empty_folder / "data").iterdir() if first.secret_key in path.read_text()]
    assert len(files) == 1
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_sto_5_off_loopback_a_secret_key_is_required(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://host.example")
    with pytest.raises(InvalidSettings, match="SECRET_KEY"):
        load_settings()
    assert not (empty_folder / "data").exists()


@pytest.mark.parametrize("name", ["SECRET_KEY", "SECRET_KEY_PREVIOUS"])
def test_sto_5_a_short_secret_key_is_refused(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv(name, "x" * 31)
    with pytest.raises(InvalidSettings, match=name) as refusal:
        load_settings()
    assert "x" * 31 not in str(refusal.value)
