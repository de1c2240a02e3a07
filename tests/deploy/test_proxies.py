"""The examples of `deploy/`: a real proxy with TLS, two replicas behind it, and the whole flow from outside."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.deploy.proxies import EXAMPLES, Behind, running_behind
from tests.deploy.visitor import Visitor
from tests.processes import flow
from tests.support.postgres import PostgresServer
from tests.support.world import mcp_call, mcp_headers

SECONDS = 30.0
# Not the address that the proxy itself comes from.
OURS = "127.0.0.9"
_numbers = itertools.count()


@pytest.fixture(scope="module", params=list(EXAMPLES))
def behind(
    request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    """Each example once."""
    name = f"deploy_{next(_numbers)}"
    postgres.create_database(name)
    folder = tmp_path_factory.mktemp("deploy")
    server = "tests.deploy.talking_server:mcp"
    try:
        with running_behind(request.param, folder, postgres.url(name), MCP_SERVER=server) as running:
            yield running
    finally:
        postgres.drop_database(name)


@asynccontextmanager
async def machine(behind: Behind) -> AsyncIterator[Visitor]:
    """Somebody who comes from `OURS`."""
    transport = httpx2.AsyncHTTPTransport(verify=behind.trust, local_address=OURS)
    headers = {"accept": "text/html,application/json,*/*;q=0.8"}
    async with httpx2.AsyncClient(transport=transport, timeout=SECONDS, headers=headers) as http:
        yield Visitor(http, f"{behind.public_url}/mcp")


@pytest.fixture
async def visitor(behind: Behind) -> AsyncIterator[Visitor]:
    async with machine(behind) as person:
        yield person


async def test_dsc_11_a_client_walks_the_whole_flow_from_the_address_alone(visitor: Visitor) -> None:
    connection = await visitor.connect()
    token = connection.tokens["access_token"]
    called = await visitor.call(token)
    assert called.status_code == 200, called.text
    assert called.json()["result"]["structuredContent"]["username"] == "alice"
    assert "max-age=" in called.headers["strict-transport-security"]

    renewed = await visitor.refresh(connection)
    assert renewed.status_code == 200, renewed.text
    token = renewed.json()["access_token"]
    assert (await visitor.call(token)).status_code == 200

    assert (await visitor.revoke(connection, renewed.json()["refresh_token"])).status_code == 200
    async with asyncio.timeout(flow.REVOKED_EVERYWHERE_WITHIN * 5):
        # The other replica learns of it within a second.
        while {(await visitor.call(token)).status_code for _ in range(4)} != {401}:
            pass


async def test_hdr_7_the_address_on_record_is_the_visitors_and_not_what_he_says(
    behind: Behind, visitor: Visitor
) -> None:
    visitor.http.headers |= {
        "x-forwarded-for": "198.51.100.66",
        "x-real-ip": "198.51.100.66",
        "forwarded": "for=198.51.100.66",
    }
    connection = await visitor.connect()
    async with flow.sql(behind.database_url) as database:
        said = await database.fetch(
            "SELECT DISTINCT source FROM audit_events WHERE client_id = $1", connection.client["client_id"]
        )
    assert [row["source"] for row in said] == [OURS]


async def test_a_stream_is_passed_on_as_it_comes(visitor: Visitor) -> None:
    connection = await visitor.connect()
    body = mcp_call("talk", {})
    body["params"]["_meta"]["progressToken"] = "p"
    headers = mcp_headers(connection.tokens["access_token"], "talk")
    # The tool never ends: whoever waits for its end hears nothing.
    async with (
        asyncio.timeout(SECONDS),
        visitor.http.stream("POST", visitor.resource, headers=headers, json=body) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        heard = ""
        async for text in answer.aiter_text():
            heard += text
            if "first word" in heard:
                break
    assert "first word" in heard


async def test_no_refusal_is_lost_on_the_way(behind: Behind) -> None:
    """They are given in less than a millisecond, when a proxy may still be busy with the request."""

    async def ask_again_and_again() -> list[int]:
        async with machine(behind) as visitor:
            return [(await visitor.call("no-token")).status_code for _ in range(150)]

    answered = await asyncio.gather(*(ask_again_and_again() for _ in range(8)))
    assert set(itertools.chain(*answered)) == {401}


async def test_hdr_8_a_body_that_is_too_large_is_refused(visitor: Visitor) -> None:
    metadata = await visitor.discover()
    headers = {"content-type": "application/json"}
    small = await visitor.http.post(
        metadata["registration_endpoint"], content=b"x" * 100_000, headers=headers
    )
    assert (small.status_code, small.json()["error"]) == (413, "invalid_request")
    large = await visitor.http.post(
        metadata["registration_endpoint"], content=b"x" * 6_000_000, headers=headers
    )
    assert large.status_code == 413


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
async def test_what_watches_over_the_server_is_closed_to_the_world(visitor: Visitor, path: str) -> None:
    answer = await visitor.http.get(visitor.resource.removesuffix("/mcp") + path)
    assert answer.status_code == 404
    assert "ostiary_" not in answer.text


async def test_plain_http_leads_to_https(behind: Behind) -> None:
    if behind.plain_port is None:
        # The host's other configuration says what its plain port does.
        assert behind.public_url.endswith("/ostiary")
        return
    async with httpx2.AsyncClient(timeout=SECONDS) as http:
        answer = await http.get(f"http://localhost:{behind.plain_port}/login")
    assert answer.status_code in {301, 308}
    assert answer.headers["location"].startswith("https://localhost")


async def test_a_replica_that_dies_is_missed_by_nobody(behind: Behind, visitor: Visitor) -> None:
    """Last in this file: from here on one replica is dead."""
    connection = await visitor.connect()
    token = connection.tokens["access_token"]
    assert [(await visitor.call(token)).status_code for _ in range(4)] == [200] * 4

    behind.replicas[0].kill()

    # What has no body goes to the living one at once; so does what has, but not with every Caddy (its issue 7546).
    page = visitor.resource.removesuffix("/mcp") + "/healthz"
    answers = await asyncio.gather(*(visitor.http.get(page) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    answers = await asyncio.gather(*(visitor.call(token) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    async with machine(behind) as other:
        assert (await other.call((await other.connect()).tokens["access_token"])).status_code == 200
