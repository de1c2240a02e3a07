"""What one connection may take of a process, over real sockets: head, body, time; and how it ends with the server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from app.connections import LimitedConnection
from app.routers.metrics import exposition
from tests.support.world import REDIRECT_URI

LARGEST = LimitedConnection.largest_head
SOON = 5.0
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
REGISTRATION = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}


class Impatient(LimitedConnection):
    """For tests, which don't want to wait a minute."""

    head_seconds = 0.3
    body_seconds = 0.3
    drain_seconds = 0.3


class Echo:
    """Answers with what it was sent; holds the answer back for as long as a test wants."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.headers: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.url.path == "/early":
            # Answered before the body has come, as what is refused by its head.
            await PlainTextResponse("early", 403)(scope, receive, send)
            return
        body = await request.body()
        self.headers = request.headers.keys()
        self.asked.set()
        await self.go_on.wait()
        await JSONResponse({"body": body.decode()})(scope, receive, send)


class Served:
    """A real server on a free port of this machine, in this process."""

    def __init__(self, app: Echo, kind: type[LimitedConnection]) -> None:
        self.app = app
        config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, http=kind, ws="none")
        self._server = uvicorn.Server(config)
        self.connections = self._server.server_state.connections

    async def start(self) -> None:
        """Until it listens."""
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup()

    @property
    def port(self) -> int:
        """Where."""
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """As a signal would."""
        await self._server.shutdown()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of a client that writes bytes as it likes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()


@asynccontextmanager
async def serving(kind: type[LimitedConnection]) -> AsyncIterator[Served]:
    served = Served(Echo(), kind)
    await served.start()
    try:
        yield served
    finally:
        await served.stop()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(LimitedConnection) as server:
        yield server


@pytest.fixture
async def impatient() -> AsyncIterator[Served]:
    async with serving(Impatient) as server:
        yield server


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    async with asyncio.timeout(SOON):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["content-length"]))
    return int(status.split()[1]), headers, body


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes the connection without another word."""
    async with asyncio.timeout(SOON):
        try:
            return await reader.read() == b""
        except ConnectionResetError:
            return True


def assert_refused(answer: tuple[int, dict[str, str], bytes], status: int) -> None:
    """In JSON, never cached, and the connection ends."""
    assert answer[0] == status
    assert (answer[1]["content-type"], answer[1]["connection"]) == ("application/json", "close")
    assert answer[1]["cache-control"] == "no-store"
    assert json.loads(answer[2])["error"] == "invalid_request"


# ------------------------------------------------------------------------------------------ heads
def heads() -> Iterator[object]:
    start = b"GET / HTTP/1.1\r\nhost: x\r\n"
    yield pytest.param(b"GET /?q=" + b"x" * LARGEST + b" HTTP/1.1\r\nhost: x\r\n\r\n", id="HDR-8 address")
    yield pytest.param(start + b"a: " + b"x" * LARGEST + b"\r\n\r\n", id="HDR-8 one header")
    yield pytest.param(start + b"a: b\r\n" * (LARGEST // 4) + b"\r\n", id="HDR-8 very many headers")
    yield pytest.param(start + b"a: " + b"x" * 2 * LARGEST, id="HDR-8 a header without end")
    yield pytest.param(start + b"a: b\r\n" * LARGEST, id="HDR-8 headers without end")


@pytest.mark.parametrize("sent", list(heads()))
async def test_a_head_that_is_too_large_is_refused(served: Served, sent: bytes) -> None:
    async with served.connect() as (reader, writer):
        writer.write(sent)
        assert_refused(await answer_of(reader), 431)
        assert await closed(reader)
    assert not served.app.asked.is_set()
    assert b'endpoint="connection",error="invalid_request",reason="head_too_large"' in exposition()


async def test_a_head_as_large_as_allowed_is_served_again_and_again(served: Served) -> None:
    start = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n"
    padding = b"a: " + b"x" * (LARGEST - len(start) - 20) + b"\r\n\r\n"
    async with served.connect() as (reader, writer):
        for _ in range(3):
            writer.write(start + padding + b"abc")
            assert (await answer_of(reader))[::2] == (200, b'{"body":"abc"}')


async def test_a_large_body_that_comes_with_its_head_is_no_large_head(served: Served) -> None:
    body = b"x" * 3 * LARGEST
    async with served.connect() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert (await answer_of(reader))[0] == 200


async def test_trailers_are_no_headers(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(CHUNKED + b"3\r\nabc\r\n0\r\nx-forwarded-for: 6.6.6.6\r\n\r\n")
        assert (await answer_of(reader))[::2] == (200, b'{"body":"abc"}')
    assert served.app.headers == ["host", "transfer-encoding"]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"0\r\n" + b"a: b\r\n" * LARGEST, id="trailers"),
        pytest.param(b"0\r\na: " + b"x" * 8 * LARGEST, id="one trailer"),
        pytest.param(b"3\r\nabc\r\n3;" + b"x" * 8 * LARGEST, id="what is said of a chunk"),
    ],
)
async def test_what_is_no_body_does_not_come_without_end(served: Served, sent: bytes) -> None:
    async with served.connect() as (reader, writer):
        writer.write(CHUNKED + sent)
        assert_refused(await answer_of(reader), 431)
        assert await closed(reader)
    assert not served.app.asked.is_set()


async def test_requests_that_wait_on_one_connection_are_few(served: Served) -> None:
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    most = LimitedConnection.most_waiting
    served.app.go_on.clear()
    async with served.connect() as (reader, writer):
        writer.write(request * (most + 1))
        await served.app.asked.wait()
        served.app.go_on.set()
        for _ in range(most + 1):
            assert (await answer_of(reader))[0] == 200
        served.app.go_on.clear()
        writer.write(request * (most + 2))
        assert await closed(reader)
    served.app.go_on.set()


async def test_a_request_that_waits_is_not_refused_in_the_place_of_the_one_before(impatient: Served) -> None:
    impatient.app.go_on.clear()
    async with impatient.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + CHUNKED)
        assert await closed(reader)
    impatient.app.go_on.set()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", id="TLS"),
        pytest.param(b"CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n", id="a tunnel"),
        pytest.param(b"GET http://[::1/ HTTP/1.1\r\nhost: x\r\n\r\n", id="an address that is none"),
        pytest.param(b"GET / HTTP/1.1\r\naccept: */*\r\n\r\n", id="no host (RFC 9112 section 3.2)"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\nHost: y\r\n\r\n", id="two hosts"),
        pytest.param(b"GET / HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n", id="two hosts, of old"),
    ],
)
async def test_what_is_no_http_is_refused(served: Served, sent: bytes) -> None:
    async with served.connect() as (reader, writer):
        writer.write(sent)
        assert_refused(await answer_of(reader), 400)
        assert await closed(reader)


async def test_the_version_that_knew_no_host_is_served_without(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await answer_of(reader))[0] == 200


async def test_an_upgrade_that_nobody_offers_is_served_as_if_it_were_not_asked_for(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = (
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13\r\n"
    )
    async with served.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n")
        assert (await answer_of(reader))[0] == 200
    assert caplog.text == ""


# ------------------------------------------------------------------------------------------ time
async def test_a_connection_on_which_nothing_is_asked_is_closed(impatient: Served) -> None:
    async with impatient.connect() as (reader, _):
        assert await closed(reader)
    assert not impatient.connections


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HT", id="a line that stops"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\na: ", id="headers that stop"),
        pytest.param(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc", id="a body that stops"),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            id="chunks that stop",
        ),
    ],
)
async def test_a_request_that_does_not_come_to_its_end_is_refused(impatient: Served, sent: bytes) -> None:
    async with impatient.connect() as (reader, writer):
        writer.write(sent)
        assert_refused(await answer_of(reader), 408)
        assert await closed(reader)
    assert not impatient.app.asked.is_set()


async def test_the_beginning_of_a_request_that_came_with_the_one_before_buys_no_time(
    impatient: Served,
) -> None:
    async with impatient.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")
        assert (await answer_of(reader))[0] == 200
        assert_refused(await answer_of(reader), 408)
        assert await closed(reader)


async def test_bytes_that_drip_do_not_buy_time(impatient: Served) -> None:
    async with impatient.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"a: b\r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert_refused(await answer_of(reader), 408)
        dripping.cancel()


async def test_a_body_that_does_not_come_after_its_answer_ends_the_connection(impatient: Served) -> None:
    async with impatient.connect() as (reader, writer):
        writer.write(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        assert (await answer_of(reader))[::2] == (403, b"early")
        assert await closed(reader)


async def test_an_answer_may_take_longer_than_a_request(impatient: Served) -> None:
    impatient.app.go_on.clear()
    async with impatient.connect() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
        await impatient.app.asked.wait()
        async with impatient.connect() as (other, _):
            assert await closed(other), "the time for a request has passed"
        impatient.app.go_on.set()
        assert (await answer_of(reader))[0] == 200


# ------------------------------------------------------------------------------------------ the end
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_a_request_that_comes_while_the_server_ends_is_answered(served: Served) -> None:
    async with served.connect() as (reader, writer), served.connect() as (idle, _):
        writer.write(GET)
        assert (await answer_of(reader))[1].get("connection") is None
        port = served.port
        stopping = asyncio.create_task(served.stop())
        while served._server.servers[0].is_serving():  # noqa: ASYNC110 - until it has begun
            await asyncio.sleep(0)

        writer.write(GET)

        status, headers, _body = await answer_of(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await closed(reader)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await closed(idle)
        await stopping


async def test_a_request_that_runs_when_the_server_ends_is_answered(served: Served) -> None:
    served.app.go_on.clear()
    async with served.connect() as (reader, writer):
        writer.write(GET)
        await served.app.asked.wait()
        stopping = asyncio.create_task(served.stop())
        while served._server.servers[0].is_serving():  # noqa: ASYNC110 - until it has begun
            await asyncio.sleep(0)
        served.app.go_on.set()
        status, headers, _body = await answer_of(reader)
        assert (status, headers["connection"]) == (200, "close")
        await stopping


# ------------------------------------------------------------------------------------------ at once
async def test_more_requests_than_a_process_may_serve_at_once_are_told_to_come_again(
    make_world: Callable[..., Any],
) -> None:
    world = await make_world(requests_at_once=3)
    app = world.app

    answers = await asyncio.gather(*(world.http.get("/readyz") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}, (
        "what watches over the server is always answered"
    )

    path, page = "/.well-known/jwks.json", {"origin": "https://chat.example"}
    answers = await asyncio.gather(
        *(world.http.post("/oauth/register", json=REGISTRATION, headers=page) for _ in range(10)),
        world.http.get(path, headers=page),
        world.http.post("/mcp", json={}, headers=page),
    )
    made = [answer for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(made) == 3
    assert len(made) + len(refused) == len(answers)
    for answer in refused:
        assert answer.json()["error"] == "temporarily_unavailable"
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "no-store" in answer.headers["cache-control"]
    assert (await world.rows("SELECT count(*) AS n FROM clients"))[0]["n"] == 3

    assert app.running == 0
    assert (await world.http.get(path)).status_code == 200
