"""`oauth4webapi` with DPoP: tokens that are bound to a key, from the code to the tool, with and without nonces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.dialogue import SECONDS, event, talking
from interop.server import Server, running_server
from interop.toolbox import Toolbox


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a nonce in every proof."""
    folder = tmp_path_factory.mktemp("server-nonces")
    database_url = f"sqlite+aiosqlite:///{folder / 'ostiary.db'}"
    with running_server(folder, "sqlite", database_url, DPOP_NONCES="true") as server:
        yield server


def walk(server: Server, toolbox: Toolbox, home: Path, algorithm: str, nonces: str) -> list[int]:
    """The whole way of the client; returns with which status it was asked for a nonce."""
    with talking(toolbox, home, "dpop.mjs", server.mcp, algorithm, nonces) as client:
        client.say(server.person.authorize(event(client, "authorize")["url"]))
        for _ in ("the first token", "the refreshed token"):
            used = event(client, "whoami")
            server.speaks_for_the_person(used["result"])
            assert set(used["claims"]["cnf"]) == {"jkt"}
        asked: list[int] = event(client, "refused")["asked_for_nonces"]
        assert client.finish(SECONDS) == 0, client.everything
        return asked


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "RS256"])
def test_a_client_that_proves_its_key_uses_tokens_that_nobody_else_can(
    server: Server, toolbox: Toolbox, home: Path, algorithm: str
) -> None:
    assert walk(server, toolbox, home, algorithm, "false") == []


def test_a_client_that_is_asked_for_a_nonce_takes_it_up(
    careful: Server, toolbox: Toolbox, home: Path
) -> None:
    """At the token endpoint for each of its two keys, and at the resource once; every answer brings the next nonce."""
    assert walk(careful, toolbox, home, "ES256", "true") == [400, 400, 401]
