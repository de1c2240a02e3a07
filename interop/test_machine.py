"""`openid-client` as a machine that acts for itself and signs its own assertions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interop.dialogue import SECONDS, event, talking
from interop.server import Server
from interop.toolbox import Toolbox


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_machine_of_the_operators_signs_gets_a_token_and_calls(
    server: Server, toolbox: Toolbox, home: Path, tmp_path: Path, algorithm: str
) -> None:
    with talking(toolbox, home, "machine.mjs", server.url, server.mcp, algorithm) as machine:
        keys = tmp_path / "jwks.json"
        keys.write_text(json.dumps(event(machine, "keys")["jwks"]))
        options = ["--auth-method", "private_key_jwt", "--jwks", str(keys), "--json"]
        made = json.loads(server.command("clients", "create", "Machine", *options))
        machine.say(made["client_id"])
        for _ in range(2):
            called = event(machine, "whoami")
            assert made["client_id"] in called["result"]
            assert server.person.username not in called["result"]
        assert machine.finish(SECONDS) == 0, machine.everything
    # One grant for both tokens; taken back, both are worth nothing.
    server.revoke_grant_of(made["client_id"])
    server.refuses(called["token"])
