"""A resource server in a process of its own: the README's example, against a real authorization server."""

import json
import time
from pathlib import Path

import httpx2

from tests.processes import flow
from tests.support.notes import create_client, resources, running_notes
from tests.support.process import free_port, run_command, running_server, settings_on
from tests.support.world import mcp_call, mcp_headers

# What the second server believes of the first: five seconds, and the time of a call.
_SECONDS = 7.0


async def test_the_example_of_the_readme_lets_people_in_and_revoked_tokens_out(
    untouched_database: str, folder: Path
) -> None:
    resource = f"http://127.0.0.1:{free_port()}/mcp"
    settings = {**settings_on(untouched_database), "RESOURCES": resources(resource)}
    with running_server(folder, settings) as server:
        made = run_command(folder, server.settings, *create_client(resource))
        assert made.returncode == 0, made.stderr
        issuer = server.settings["PUBLIC_URL"]
        with running_notes(folder, issuer, resource, json.loads(made.stdout)):
            async with flow.connections() as http, flow.new_browser() as browser:
                assert (await flow.sign_in(browser, server)).status_code == 303
                client = await flow.register(http, server)
                server.resource = resource
                tokens = await flow.tokens_of(http, browser, server, client)

                answer = await _greet(http, resource, tokens["access_token"])
                assert answer.json()["result"]["content"][0]["text"] == "These are the notes of alice."

                await flow.revoke(http, server, client, tokens["refresh_token"])
                revoked = time.monotonic()
                while (answer := await _greet(http, resource, tokens["access_token"])).status_code != 401:
                    assert answer.status_code == 200, answer.text
                    assert time.monotonic() < revoked + _SECONDS
                assert "invalid_token" in answer.headers["www-authenticate"]

                other = await flow.tokens_of(http, browser, server, client)
                server.end()
                unavailable = await _greet(http, resource, other["access_token"])
                flow.assert_unavailable(unavailable)


async def _greet(http: httpx2.AsyncClient, resource: str, token: str) -> httpx2.Response:
    return await http.post(resource, headers=mcp_headers(token, "greet"), json=mcp_call("greet", {}))
