"""The server under test: the real command line in its own process, as an operator starts it."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from interop.person import Person
from interop.processes import Child, free_port, run, running
from interop.toolbox import ROOT

START_SECONDS = 60.0
COMMAND_SECONDS = 60.0
REVOCATION_SECONDS = 10.0
PROTOCOL = "2026-07-28"


@dataclass(frozen=True)
class Server:
    """A running server, its operator's command line, and the people who may sign in."""

    url: str
    database: str
    env: dict[str, str]
    folder: Path
    admin: Person
    person: Person

    @property
    def mcp(self) -> str:
        """The address of the protected endpoint."""
        return f"{self.url}/mcp"

    def command(self, *arguments: str, given: str = "") -> str:
        """What `python -m app …` prints; it must succeed."""
        return app_command(self.env, self.folder, *arguments, given=given)

    def grants_of(self, client_id: str) -> list[str]:
        """The ids of the live grants of a client, from the operator's own listing."""
        rows: list[dict[str, Any]] = json.loads(self.command("grants", "list", "--json"))
        return [str(row["id"]) for row in rows if client_id in row.values()]

    def revoke_grant_of(self, client_id: str) -> None:
        """What an operator does when a client must stop: look the grant up, revoke it."""
        (grant,) = self.grants_of(client_id)
        self.command("grants", "revoke", grant)

    def revoke_token(self, client_id: str, token: str) -> None:
        """RFC 7009 as a public client."""
        form = {"token": token, "client_id": client_id}
        answer = httpx2.post(f"{self.url}/oauth/revoke", data=form)
        assert answer.status_code == 200, answer.text

    def whoami(self, token: str) -> httpx2.Response:
        """One bare call of `whoami` with this token, without any client library."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": PROTOCOL,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "bare", "version": "1"},
        }
        params = {"name": "whoami", "arguments": {}, "_meta": meta}
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": PROTOCOL,
            "mcp-method": "tools/call",
            "mcp-name": "whoami",
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return httpx2.post(self.mcp, json=body, headers=headers)

    def refuses(self, token: str) -> None:
        """Ask until the token is refused: a revocation elsewhere acts here within a second or so."""
        deadline = time.monotonic() + REVOCATION_SECONDS
        while (answer := self.whoami(token)).status_code != 401:
            assert time.monotonic() < deadline, f"still {answer.status_code} after the revocation"
        assert "invalid_token" in answer.headers["www-authenticate"]

    def speaks_for_the_person(self, result: object) -> None:
        """A `whoami` answer names the one who signed in, and nobody else."""
        text = json.dumps(result)
        assert self.person.username in text, text
        assert self.admin.username not in text, text


def app_command(env: dict[str, str], folder: Path, *arguments: str, given: str = "") -> str:
    """Run one command of the product's command line to its end."""
    with running([sys.executable, "-m", "app", *arguments], env, folder) as child:
        if given:
            child.say(given)
        code = child.finish(COMMAND_SECONDS)
        assert code == 0, f"{arguments} ended with {code}:\n{child.everything}"
        return child.out


def environment(folder: Path, database_url: str, admin: Person) -> dict[str, str]:
    """Settings as a deployment gives them, and nothing of the environment of the tests."""
    port = free_port()
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "PUBLIC_URL": f"http://localhost:{port}",
        "PORT": str(port),
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "BOOTSTRAP_ADMIN_USERNAME": admin.username,
        "BOOTSTRAP_ADMIN_PASSWORD": admin.password,
    }


@contextmanager
def running_server(folder: Path, database: str, database_url: str, **settings: str) -> Iterator[Server]:
    """A server with an admin and one ordinary person, ready to answer, ended at the end.

    Args:
        settings: further settings, under their names in the environment.
    """
    admin = Person("warden", secrets.token_urlsafe(18))
    person = Person("jane", secrets.token_urlsafe(18))
    env = environment(folder, database_url, admin) | settings
    code, migration = run([sys.executable, "-m", "app", "migrate"], env, folder, COMMAND_SECONDS)
    assert code == 0, migration.everything
    with running([sys.executable, "-m", "app", "serve"], env, folder) as child:
        server = Server(env["PUBLIC_URL"], database, env, folder, admin, person)
        _wait_until_ready(server, child)
        options = ["--email", "jane@example.org", "--name", "Jane Doe", "--password-stdin"]
        server.command("users", "create", person.username, *options, given=person.password)
        yield server


def _wait_until_ready(server: Server, child: Child) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            answer = httpx2.get(f"{server.url}/readyz")
            if answer.status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert child.running, f"the server ended:\n{child.everything}"
        assert time.monotonic() < deadline, f"not ready:\n{child.everything}"
        child.hear(0.1)
