"""A real server and a real collector: traces arrive, hold together, and carry nothing that opens anything."""

import asyncio
import signal
import socket
import time
from pathlib import Path

import httpx2
import pytest

from tests.collector import running_collector
from tests.logged import read_lines
from tests.processes import flow
from tests.support.process import running_server, settings_on
from tests.support.world import PASSWORD, SECRET_KEY, VERIFIER
from tests.test_storage import found

QUICKLY = 7.0  # a second for connections that wait, three for the collector


async def test_a_whole_flow_is_told_to_the_collector(folder: Path, http: httpx2.AsyncClient) -> None:
    secrets = {PASSWORD: "password", SECRET_KEY: "SECRET_KEY", VERIFIER: "code_verifier"}
    with running_collector() as collector:
        settings = {
            **settings_on(f"sqlite:///{folder}/test.db"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "ACCESS_LOG": "all",
        }
        with running_server(folder, settings) as server:
            async with flow.new_browser() as browser:
                assert (await flow.sign_in(browser, server)).status_code == 303
                client = await flow.register(http, server)
                code = await flow.code_of(browser, server, client)
                secrets |= {cookie.value or "": "cookie" for cookie in browser.cookies.jar}
            tokens = (await flow.redeem(http, server, client, code)).json()
            answer = await flow.call(http, server, tokens["access_token"])
            assert answer.status_code == 200, answer.text
            secrets |= {code: "code", tokens["access_token"]: "token", tokens["refresh_token"]: "token"}

        # What was not sent yet is sent when the server ends.
        spans = {span.span_id: span for span in collector.spans}
        names = {span.name for span in spans.values()}
        assert names >= {"GET /login", "POST /login", "GET /authorize", "POST /oauth/token", "POST /mcp"}
        [tool] = [span for span in spans.values() if span.name == "tools/call whoami"]
        assert spans[tool.parent_span_id].name == "POST /mcp"
        said = {line["trace_id"] for line in read_lines(server.err) if line.get("endpoint") == "/mcp"}
        assert said == {tool.trace_id.hex()}
        assert {each["service.name"] for each in collector.resources} == {"ostiary"}
        written = b"\n".join(collector.bodies).decode("latin-1")
        assert found(secrets, written) == []
        assert "some state" not in written


@pytest.mark.parametrize("listens", [False, True], ids=["refused", "never answered"])
async def test_a_collector_that_is_away_holds_nothing_up(
    folder: Path, http: httpx2.AsyncClient, *, listens: bool
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        settings = {
            **settings_on(f"sqlite:///{folder}/test.db"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        with running_server(folder, settings) as server:
            for _ in range(5):
                assert (await http.get(f"{server.url}/readyz")).status_code == 200
            began = time.monotonic()
            server.send(signal.SIGTERM)
            await asyncio.to_thread(server.wait)
            assert time.monotonic() - began < QUICKLY
    assert "Traceback" not in server.err
