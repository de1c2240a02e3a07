"""The official conformance suite: the authorization server, and the protected MCP endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop import verdicts
from interop.processes import Command, free_port, run, running
from interop.public_client import register
from interop.server import Server
from interop.toolbox import ARTEFACTS, HERE, Toolbox, ignored_folder

SUITE = "@modelcontextprotocol/conformance/dist/index.js"
SECONDS = 180.0
REVISIONS = ("2025-11-25", "2026-07-28")

# Checks that a server which refuses every request cannot pass: their answers come from inside.
AUTHENTICATED = {
    "2025-11-25": {"server-initialize:server-initialize", "ping:ping", "tools-list:tools-list"},
    "2026-07-28": {
        "tools-list:tools-list",
        "server-stateless:sep-2575-server-implements-discover",
        "caching:sep-2549-tools-list-caching-hints",
    },
}


def examine(server: Server, toolbox: Toolbox, folder: Path, revision: str, token: str) -> verdicts.Verdicts:
    """Run the server suite of one revision with this token on every request."""
    results = folder / "results"
    env = toolbox.environment(
        folder / "home",
        INTEROP_ORIGIN=server.url,
        INTEROP_BEARER=token,
        INTEROP_SUITE=str(toolbox.packages / SUITE),
    )
    node, suite = toolbox.script(SUITE)
    preload: Command = ["--import", HERE / "conformance" / "bearer.mjs"]
    what: Command = ["server", "--url", server.mcp, "--requirements", revision, "-o", results]
    _, child = run([node, *preload, suite, *what], env, folder, SECONDS)
    found = verdicts.read(results, child.out)
    assert found.statuses, child.everything
    return found


def expected_failures(server: Server, revision: str) -> dict[str, str]:
    """The list of the revision, and what follows from serving without sessions where we do."""
    folder = HERE / "conformance"
    expected = verdicts.expected_failures(folder / f"expected-{revision}.txt")
    if revision == "2025-11-25" and server.database == "postgresql":
        expected |= verdicts.expected_failures(folder / f"expected-{revision}-without-sessions.txt")
    return expected


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_protected_endpoint_conforms(
    server: Server, toolbox: Toolbox, tmp_path: Path, revision: str
) -> None:
    client = register(server, "Conformance", "http://127.0.0.1/callback")
    found = examine(server, toolbox, tmp_path, revision, client.access_token())
    found.keep(ignored_folder(ARTEFACTS) / f"conformance-{revision}-{server.database}.txt")
    assert AUTHENTICATED[revision] <= found.passed
    assert found.differences(expected_failures(server, revision)) == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_marks_of_a_real_run_are_absent_when_every_request_is_refused(
    server: Server, toolbox: Toolbox, tmp_path: Path, revision: str
) -> None:
    found = examine(server, toolbox, tmp_path, revision, "not-a-token")
    assert AUTHENTICATED[revision] & found.passed == set()


def test_the_authorization_server_conforms(server: Server, toolbox: Toolbox, tmp_path: Path) -> None:
    port = free_port()
    client = register(server, "Conformance", f"http://127.0.0.1:{port}/callback")
    results = tmp_path / "results"
    what = ["authorization", "--url", server.url, "--client-id", client.client_id]
    how: Command = ["--resource", server.mcp, "-p", str(port), "-o", results]
    env = toolbox.environment(tmp_path / "home")
    with running([*toolbox.script(SUITE), *what, *how], env, tmp_path) as suite:
        server.person.visit(suite.expect(rf"^{server.url}/authorize\?\S+", SECONDS)[0])
        code = suite.finish(SECONDS)
        found = verdicts.read(results, suite.out)
    assert code == 0, suite.everything
    assert found.failed == set(), suite.everything
    assert found.passed == {
        "authorization-server-metadata-endpoint:authorization-server-metadata",
        "authorization-server-metadata-endpoint:authorization-server-metadata-cimd",
        "authorization-code-grant:authorization-code-grant",
    }
