"""`oauth4webapi`: the library that refuses every answer which its RFC does not allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from interop.dialogue import SECONDS, event, talking
from interop.server import Server
from interop.toolbox import Toolbox


@pytest.mark.parametrize("how", ["plain", "pushed"])
@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_every_answer_is_accepted_from_discovery_to_revocation(
    server: Server, toolbox: Toolbox, home: Path, method: str, how: str
) -> None:
    """Clients with a secret introspect too, in JSON and signed; pushed, the browser carries a handle only."""
    with talking(toolbox, home, "strict.mjs", server.mcp, method, how) as client:
        client.say(server.person.authorize(event(client, "authorize")["url"]))
        for _ in ("the first token", "the refreshed token"):
            used = event(client, "whoami")
            server.speaks_for_the_person(used["result"])
            assert used["claims"]["iss"] == server.url
        event(client, "refused")
        assert client.finish(SECONDS) == 0, client.everything


def test_a_person_who_denies_sends_the_client_a_valid_refusal(
    server: Server, toolbox: Toolbox, home: Path
) -> None:
    person = replace(server.person, decision="deny")
    with talking(toolbox, home, "strict.mjs", server.mcp, "none") as client:
        client.say(person.authorize(event(client, "authorize")["url"]))
        assert event(client, "denied")["error"] == "access_denied"
        assert client.finish(SECONDS) == 0, client.everything
