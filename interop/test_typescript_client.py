"""`@modelcontextprotocol/client`, in the handshake era and in the stateless one."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.dialogue import SECONDS, event, talking
from interop.server import Server
from interop.toolbox import Toolbox


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_signs_in_calls_refreshes_and_asks_again_once_its_token_is_revoked(
    server: Server, toolbox: Toolbox, home: Path, revision: str
) -> None:
    with talking(toolbox, home, "typescript.mjs", server.mcp, revision) as client:
        client.say(server.person.authorize(event(client, "authorize")["url"]))
        assert event(client, "connected")["revision"] == revision
        server.speaks_for_the_person(event(client, "whoami")["result"])
        server.speaks_for_the_person(event(client, "whoami")["result"])
        mine = event(client, "revoke")
        server.revoke_grant_of(mine["client_id"])
        server.refuses(mine["token"])
        client.say("revoked")
        event(client, "refused")
        assert client.finish(SECONDS) == 0, client.everything
