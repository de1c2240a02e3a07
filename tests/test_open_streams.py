"""A stream that was opened with a good token says nothing more once the token is not good any more."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests import streaming_server
from tests.dpop_flow import bound_tokens, resource_proof
from tests.support.dpop import Prover
from tests.support.world import World, mcp_call, mcp_headers

MakeWorld = Callable[..., Awaitable[World]]


class Stream:
    """A tool call whose answer is read as it comes, straight from the application."""

    def __init__(self, world: World, access_token: str, prover: Prover | None = None) -> None:
        self._world = world
        body = mcp_call("count", {})
        body["params"]["_meta"]["progressToken"] = "p"
        self._request = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        headers = {
            **mcp_headers(access_token, "count"),
            "host": "localhost:8000",
            "content-type": "application/json",
        }
        if prover is not None:
            headers |= {
                "authorization": f"DPoP {access_token}",
                "dpop": resource_proof(world, prover, access_token),
            }
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.said = b""
        self.first_word = anyio.Event()

    async def run(self) -> None:
        """Call the tool and collect everything that it says."""
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "headers": self._headers,
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 8000),
        }
        await self._world.app(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        if not self._request:
            await anyio.sleep_forever()
        return self._request.pop()

    async def _send(self, message: Any) -> None:
        self.said += message.get("body", b"")
        if b"one" in self.said:
            self.first_word.set()


@pytest.fixture
async def streaming(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    """A server whose tool waits at a gate of this test."""
    monkeypatch.setattr(streaming_server, "gate", anyio.Event())
    world = await make_world(mcp_server="tests.streaming_server:mcp")
    await world.create_user("alice")
    return world


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_stream_ends_with_the_grant(streaming: World, revoked: bool) -> None:
    client = await streaming.register()
    tokens = await streaming.tokens(client)
    stream = Stream(streaming, tokens["access_token"])

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            await stream.first_word.wait()
            if revoked:
                assert (await streaming.revoke(client, tokens["refresh_token"])).status_code == 200
            streaming_server.gate.set()

    assert (b"two" in stream.said, b"done" in stream.said) == (not revoked, not revoked)


async def test_a_stream_ends_when_its_token_expires(streaming: World) -> None:
    tokens = await streaming.tokens(await streaming.register())
    stream = Stream(streaming, tokens["access_token"])

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            await stream.first_word.wait()
            streaming.clock.advance(seconds=tokens["expires_in"])
            streaming_server.gate.set()

    assert b"two" not in stream.said


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_stream_of_a_bound_token_needs_its_proof_once_and_its_token_all_the_time(
    streaming: World, revoked: bool
) -> None:
    """RFC 9449 §7.1: a proof is for one request, however long the answer takes."""
    client, prover = await streaming.register(), Prover()
    tokens = await bound_tokens(streaming, client, prover)
    stream = Stream(streaming, tokens["access_token"], prover)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            await stream.first_word.wait()
            # Far beyond the age of any proof.
            streaming.clock.advance(minutes=5)
            if revoked:
                assert (await streaming.revoke(client, tokens["refresh_token"])).status_code == 200
            streaming_server.gate.set()

    assert (b"two" in stream.said, b"done" in stream.said) == (not revoked, not revoked)
