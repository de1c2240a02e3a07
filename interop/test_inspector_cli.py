"""`mcp-inspector --cli` with its own OAuth, run as a script runs it, one call a process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interop.processes import free_port, run
from interop.server import Server
from interop.toolbox import Toolbox, browser_script

LAUNCHER = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
AUTH_REQUIRED = 3
SECONDS = 60.0


@dataclass
class Inspector:
    """One person's Inspector: its store, and the browser that it opens."""

    server: Server
    toolbox: Toolbox
    home: Path
    era: str

    def __post_init__(self) -> None:
        self.port = free_port()
        self.home.mkdir()
        self.browser, self.visits = browser_script(self.home, self.server.person)

    def whoami(self, *options: str) -> tuple[int, str, str]:
        """Call the tool; the exit code, the result, and all that was said."""
        callback = f"http://127.0.0.1:{self.port}/oauth/callback"
        where = ["--cli", self.server.mcp, "--transport", "http", "--callback-url", callback]
        what = ["--method", "tools/call", "--tool-name", "whoami", "--format", "json"]
        env = self.toolbox.environment(
            self.home,
            BROWSER=str(self.browser),
            MCP_AUTO_OPEN_ENABLED="true",
            MCP_INSPECTOR_SECRET_STORE="file",
        )
        command = [*self.toolbox.script(LAUNCHER), *where, *what, "--protocol-era", self.era, *options]
        code, child = run(command, env, self.home, SECONDS)
        return code, child.out, child.everything

    def succeeds(self, *options: str) -> None:
        """The call is answered, for the right person."""
        code, out, everything = self.whoami(*options)
        assert code == 0, everything
        self.server.speaks_for_the_person(json.loads(out)["result"])

    @property
    def sign_ins(self) -> int:
        """How often a browser was opened."""
        return len(self.visits.read_text().splitlines())

    @property
    def client_id(self) -> str:
        """What it registered as."""
        state = json.loads((self.home / ".mcp-inspector/storage/oauth.json").read_text())
        (issuer,) = state["servers"][self.server.mcp]["byIssuer"].values()
        return str(issuer["clientInformation"]["client_id"])

    @property
    def tokens(self) -> dict[str, Any]:
        """What it stored."""
        (stored,) = self._secrets()["secrets"].values()
        tokens: dict[str, Any] = json.loads(stored)
        return tokens

    def spoil_access_token(self) -> None:
        """As if it had expired: the server refuses it, and only the refresh token helps."""
        content = self._secrets()
        (name,) = content["secrets"]
        content["secrets"][name] = json.dumps(self.tokens | {"access_token": "stale"})
        self._secret_file.write_text(json.dumps(content))

    @property
    def _secret_file(self) -> Path:
        return self.home / ".mcp-inspector" / "secrets.json"

    def _secrets(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._secret_file.read_text())
        return content


@pytest.fixture(params=["legacy", "modern"])
def inspector(server: Server, toolbox: Toolbox, home: Path, request: pytest.FixtureRequest) -> Inspector:
    return Inspector(server, toolbox, home, request.param)


def test_signs_in_calls_refreshes_and_is_refused_after_the_operator_revokes(inspector: Inspector) -> None:
    inspector.succeeds()
    assert inspector.sign_ins == 1
    first = inspector.tokens
    inspector.spoil_access_token()
    inspector.succeeds("--stored-auth-only")
    assert inspector.tokens["refresh_token"] != first["refresh_token"]
    inspector.server.revoke_grant_of(inspector.client_id)
    inspector.server.refuses(inspector.tokens["access_token"])
    code, _, everything = inspector.whoami("--stored-auth-only")
    assert code == AUTH_REQUIRED, everything
