"""`ostiary serve` as an operator meets it: the first start, the second, Ctrl-C, and what is refused."""

import asyncio
import re
import signal
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from tests.logged import read_lines
from tests.processes import flow
from tests.support.process import (
    ServerProcess,
    free_port,
    run_command,
    running_pair,
    running_server,
    settings_on,
)
from tests.support.world import PASSWORD

QUICKLY = 8.0
NOT_LISTENED_ON = 9


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _printed_admin(out: str) -> tuple[str, str]:
    """The name and the password that the first start prints."""
    name = re.search(r"Sign-in name\s+(\S+)", out)
    password = re.search(r"Password\s+(\S+)", out)
    assert name is not None, out
    assert password is not None, out
    return name[1], password[1]


async def _key_ids(http: httpx2.AsyncClient, server: ServerProcess) -> list[str]:
    answer = await http.get(f"{server.url}/.well-known/jwks.json")
    return [key["kid"] for key in answer.json()["keys"]]


async def test_lgn_16_the_first_start_makes_everything_and_the_second_keeps_it(
    folder: Path, http: httpx2.AsyncClient
) -> None:
    with running_server(folder, {}) as first:
        printed = first.out
        username, password = _printed_admin(printed)
        data = folder / "data"
        assert printed.count(password) == 1
        assert (_mode(data), _mode(data / "secret.key")) == (0o700, 0o600)
        assert (data / "ostiary.db").is_file()
        key_ids = await _key_ids(http, first)
        async with flow.new_browser() as browser:
            for guess in ("admin", "password", username):
                assert (
                    await flow.sign_in(browser, first, username="admin", password=guess)
                ).status_code == 401
            answer = await flow.sign_in(browser, first, username=username, password=password)
            assert answer.status_code == 303
            client = await flow.register(http, first)
            tokens = await flow.tokens_of(http, browser, first, client)
        assert await flow.works(http, first, tokens["access_token"])
    secret_key = (data / "secret.key").read_bytes()

    with running_server(folder, {}, first.port) as second:
        assert "Password" not in second.out
        assert password not in second.out + second.err
        assert (data / "secret.key").read_bytes() == secret_key
        assert await _key_ids(http, second) == key_ids
        assert await flow.works(http, second, tokens["access_token"])
        renewed = await flow.refresh(http, second, client, tokens["refresh_token"])
        assert renewed.status_code == 200, renewed.text
        async with flow.new_browser() as browser:
            answer = await flow.sign_in(browser, second, username=username, password=password)
            assert answer.status_code == 303


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_server_quickly_and_without_a_traceback(
    folder: Path, http: httpx2.AsyncClient, number: signal.Signals
) -> None:
    with running_server(folder, {}) as server:
        # A browser that keeps its connection open must not hold the server up.
        assert (await http.get(f"{server.url}/")).status_code == 200
        began = time.monotonic()

        server.send(number)
        code = await asyncio.to_thread(server.wait)

    assert time.monotonic() - began < QUICKLY
    assert code == 0 or (code == -signal.SIGTERM and number == signal.SIGTERM)
    assert "Traceback" not in server.err
    assert "Aborted" not in server.err


async def test_ctrl_c_ends_the_server_while_a_client_of_an_older_revision_holds_a_stream_open(
    folder: Path, http: httpx2.AsyncClient
) -> None:
    with running_server(folder, {}) as server:
        username, password = _printed_admin(server.out)
        async with flow.new_browser() as browser:
            await flow.sign_in(browser, server, username=username, password=password)
            tokens = await flow.tokens_of(http, browser, server, await flow.register(http, server))
        async with await _open_stream(http, server, tokens["access_token"]) as stream:
            assert stream.status_code == 200
            began = time.monotonic()
            server.send(signal.SIGINT)
            code = await asyncio.to_thread(server.wait)

    assert time.monotonic() - began < QUICKLY
    assert code == 0
    assert "Traceback" not in server.err


async def _open_stream(http: httpx2.AsyncClient, server: ServerProcess, access_token: str) -> "_Stream":
    """Begin a session as a 2025-06-18 client does, and listen for what the server may send."""
    version = "2025-06-18"
    headers = {"authorization": f"Bearer {access_token}", "accept": "application/json, text/event-stream"}
    parameters = {
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}
    answer = await http.post(f"{server.url}/mcp", headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    headers |= {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": version}
    told = await http.post(
        f"{server.url}/mcp", headers=headers, json={"jsonrpc": "2.0", "method": "notifications/initialized"}
    )
    assert told.status_code == 202, told.text
    return _Stream(http, f"{server.url}/mcp", {**headers, "accept": "text/event-stream"})


class _Stream:
    """A GET whose answer does not end; it may break when the server goes."""

    def __init__(self, http: httpx2.AsyncClient, url: str, headers: Mapping[str, str]) -> None:
        self._http = http
        self._request = http.build_request("GET", url, headers=dict(headers))

    async def __aenter__(self) -> httpx2.Response:
        self._response = await self._http.send(self._request, stream=True)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        await self._response.aclose()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        pytest.param({"PUBLIC_URL": "http://example.com"}, "PUBLIC_URL", id="http off loopback"),
        pytest.param({"PUBLIC_URL": "https://example.com"}, "SECRET_KEY", id="no secret key off loopback"),
        pytest.param({"PUBLIC_URL": "not a url"}, "PUBLIC_URL", id="no url"),
        pytest.param({"SECRET_KEY": "too short"}, "SECRET_KEY", id="short secret key"),
        pytest.param({"WORKERS": "2"}, "WORKERS", id="workers on sqlite"),
        pytest.param({"WORKERS": "many"}, "WORKERS", id="workers that are no number"),
        pytest.param({"PORT": "70000"}, "PORT", id="no port"),
        pytest.param({"DATABASE_URL": "mysql://localhost/ostiary"}, "DATABASE_URL", id="mysql"),
        pytest.param({"DATABASE_URL": "postgresql+asyncpg://[::1"}, "DATABASE_URL", id="no database url"),
        pytest.param({"TRUSTED_PROXIES": "everyone"}, "TRUSTED_PROXIES", id="proxy that is no address"),
        pytest.param({"MCP_SERVER": "no.such:thing"}, "MCP_SERVER", id="no mcp server"),
        pytest.param({"BOOTSTRAP_ADMIN_USERNAME": "ada"}, "BOOTSTRAP_ADMIN_PASSWORD", id="half an admin"),
        pytest.param(
            {"BOOTSTRAP_ADMIN_USERNAME": "ada", "BOOTSTRAP_ADMIN_PASSWORD": "short"},
            "password",
            id="short password",
        ),
        pytest.param(
            {"DATABASE_URL": f"postgresql://nobody@127.0.0.1:{NOT_LISTENED_ON}/ostiary"},
            "database",
            id="database away",
        ),
        pytest.param({"DATABASE_URL": "sqlite:////proc/none/x.db"}, "database", id="no place for the file"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(
    folder: Path, settings: Mapping[str, str], named: str
) -> None:
    refused = run_command(folder, {"PORT": str(free_port()), **settings}, "serve")

    _assert_one_sentence(refused.returncode, refused.stderr, named)
    assert "Ostiary is ready" not in refused.stdout


def test_a_port_in_use_is_refused_in_one_sentence(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        refused = run_command(folder, {"PORT": port}, "serve")

    _assert_one_sentence(refused.returncode, refused.stderr, port)


def _assert_one_sentence(code: int, err: str, named: str) -> None:
    assert code == 1, (code, err)
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err
    assert named in err


async def test_another_secret_key_than_the_one_of_the_first_start_is_refused_in_one_sentence(
    folder: Path,
) -> None:
    with running_server(folder, {}):
        pass

    refused = run_command(folder, {"SECRET_KEY": "k" * 40, "PORT": str(free_port())}, "serve")

    _assert_one_sentence(refused.returncode, refused.stderr, "SECRET_KEY")


async def test_two_workers_serve_on_postgresql(
    empty_database: str, folder: Path, http: httpx2.AsyncClient
) -> None:
    with running_server(folder, {**settings_on(empty_database), "WORKERS": "2"}) as server:
        async with flow.new_browser() as browser:
            assert (await flow.sign_in(browser, server)).status_code == 303
            client = await flow.register(http, server)
            tokens = await flow.tokens_of(http, browser, server, client)
        answers = await asyncio.gather(
            *(flow.call(http, server, tokens["access_token"]) for _ in range(flow.AT_ONCE))
        )
        assert [answer.status_code for answer in answers] == [200] * flow.AT_ONCE
        began = time.monotonic()
        server.send(signal.SIGINT)
        code = await asyncio.to_thread(server.wait)

    assert code == 0
    assert time.monotonic() - began < QUICKLY
    assert "Traceback" not in server.err
    with pytest.raises(httpx2.ConnectError):
        async with flow.connections() as anew:
            await anew.get(f"{server.url}/healthz")


async def test_replicas_that_start_together_agree_on_schema_keys_and_the_first_admin(
    untouched_database: str, folder: Path, http: httpx2.AsyncClient
) -> None:
    with running_pair(folder, untouched_database) as (first, second):
        assert await _key_ids(http, first) == await _key_ids(http, second)
        levels = {line["level"] for line in read_lines(first.err + second.err)}
        assert levels <= {"info"}
        # A password that the operator gave is never printed.
        assert PASSWORD not in first.out + second.out
        listed = run_command(folder, first.settings, "users", "list", "--json")
    assert listed.stdout.count('"username"') == 1, listed.stdout
