"""The documentation's pages: what stands in their fenced blocks, and an installation in which that is carried out."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from anyio import to_thread
from typer.testing import CliRunner

from app.cli import cli
from app.settings import Settings
from tests.processes import flow
from tests.support.postgres import PostgresServer
from tests.support.postmaster import candidates
from tests.support.process import ROOT, ServerProcess, environment, running_server, settings_on

DOCS = ROOT / "docs"
SECONDS_FOR_A_BLOCK = 120.0
# Addresses on the pages that stand for the server.
OURS = ("http://localhost:8000", "https://auth.example.com", "https://mcp.example.com", "https://your-host")
_FENCE = re.compile(r"^(?P<margin> *)```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^(?P=margin)```$", re.S | re.M)
_MAKE_JOB = "ostiary clients create Job --grant-type client_credentials --scope mcp --json"
_SHELL = frozenset("|&;<>$`\n")
_ASSIGNMENT = re.compile(r"[A-Z_]+=")
# What a reader has in a module already where a page shows a part of it.
_AROUND_A_PART = """from mcp.server.mcpserver import MCPServer
from app.resource_server.identity import CurrentPrincipal, CurrentUser, requires
mcp = MCPServer("part")
"""
_LOAD = """
from app.hooks import load_hooks
from app.mcp_server.endpoint import load_server
from app.settings import load_settings
settings = load_settings()
for server in (settings.mcp_server, *(entry.server for entry in settings.resources if entry.server)):
    load_server(server)
load_hooks(settings.hooks)
"""
# A page asks for something that is not there, or wrongly, only to show 401.
_CURL = """#!/bin/sh
{curl} --fail-with-body "$@"
code=$?
[ $code = 22 ] && {curl} -o /dev/null -w '%{{http_code}}' "$@" | grep -q '^401' && code=0
exit $code
"""


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, what it says."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """For people who look for it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, each with its continuation lines."""
        found: list[str] = []
        unfinished = ""
        for line in self.text.splitlines():
            unfinished += line
            try:
                words = shlex.split(unfinished, comments=True)
            except ValueError:  # a quotation goes on
                unfinished += "\n"
                continue
            if unfinished.endswith("\\"):
                unfinished += "\n"
                continue
            if words:
                found.append(unfinished)
            unfinished = ""
        assert not unfinished, f"{self.place}: a command has no end"
        return found

    @property
    def is_environment(self) -> bool:
        """Whether it sets settings and does nothing else."""
        return self.language == "env" or (
            self.language == "sh"
            and all(_ASSIGNMENT.match(one) and len(shlex.split(one)) == 1 for one in self.commands)
        )


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page that is not a directive."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], dedent(found["text"]))
        for found in _FENCE.finditer(text)
        if not found["language"].startswith("{")
    ]


def pages() -> list[Path]:
    """README and every page."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


@dataclass
class Installation:
    """A folder, a database and a server, in which the blocks of one page are carried out one after another."""

    folder: Path
    settings: Mapping[str, str]
    server: ServerProcess
    placeholders: Mapping[str, str] = field(default_factory=dict)

    def carry_out(self, command: str) -> tuple[int, str]:
        """Carry out a command of a page: its exit code, and what it printed.

        Commands of ours run in this process where no shell is needed: each start of one takes seconds.
        """
        for name in OURS:
            command = command.replace(name, self.server.settings["PUBLIC_URL"])
        for name, value in self.placeholders.items():
            command = re.sub(rf"(?<![\w/]){name}(?!\w)", value, command)
        words = shlex.split(command, comments=True)
        if words[0] == "ostiary" and not set(command) & _SHELL:
            with chdir(self.folder):
                done = CliRunner().invoke(cli, words[1:], env=self._environment())
            assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
            return done.exit_code, done.output
        answer = self._run(["bash", "-euo", "pipefail", "-c", command])
        return answer.returncode, answer.stdout + answer.stderr

    def make_sqlite(self) -> None:
        """What a first start without PostgreSQL leaves in the folder."""
        self._run(["ostiary", "migrate"], DATABASE_URL="sqlite:///data/ostiary.db")

    def python(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Keep a Python block as the file that its first line names, and run it."""
        named = re.match(r"# ([\w/]+\.py)\n", block.text)
        path = self.folder / (named[1] if named else f"block_{block.line}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text if named else _AROUND_A_PART + block.text)
        return self._run([sys.executable, str(path)])

    def keep_settings(self, text: str) -> subprocess.CompletedProcess[str]:
        """Append to `.env`, as a reader would, and find what is named there as a start of the server would."""
        with (self.folder / ".env").open("a") as file:
            file.write(text)
        names_code = re.search(r'^(MCP_SERVER|HOOKS)=|"server": ', text, re.M)
        return self._run([sys.executable, "-c", _LOAD if names_code else ""])

    def _run(self, command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self._environment(), **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_FOR_A_BLOCK,
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        paths = [self.folder / "bin", Path(sys.executable).parent, *candidates()]
        every = environment({**self.settings, "PUBLIC_URL": self.server.settings["PUBLIC_URL"]})
        every |= {"NOTES_CLIENT_ID": "client_notes", "NOTES_CLIENT_SECRET": "a secret"}
        # Never in front of the checkout's own modules.
        every["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(self.folder)])
        every["PATH"] = os.pathsep.join([*map(str, paths), os.environ["PATH"]])
        return every


def settings_named_in(text: str) -> set[str]:
    """The names that a block assigns."""
    return set(re.findall(r"^([A-Z_]+)=", text, re.M))


def known_settings() -> set[str]:
    """The names that there are."""
    return {name.upper() for name in Settings.model_fields}


def installation(folder: Path, postgres: PostgresServer, database: str) -> Iterator[Installation]:
    """An installation on an empty PostgreSQL database, with a person, an app and what that person allowed it."""
    postgres.create_database(database)
    # As psql and pg_dump take it, and the settings too.
    url = postgres.url(database).replace("postgresql+asyncpg://", "postgresql://")
    settings = settings_on(url)
    _programs(folder / "bin")
    with ExitStack() as stack:
        stack.callback(postgres.drop_database, database)
        server = stack.enter_context(running_server(folder, settings))
        yield Installation(folder, settings, server)


async def populate(at: Installation) -> None:
    """Let the person of the installation connect an app, and know the ids that pages write in capitals."""
    async with flow.connections() as http, flow.new_browser() as browser:
        await flow.sign_in(browser, at.server)
        client = await flow.register(
            http,
            at.server,
            client_name="Notebook",
            grant_types=[
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
        )
        tokens = await flow.tokens_of(http, browser, at.server, client)
    _, listed = await to_thread.run_sync(at.carry_out, "ostiary grants list --json")
    _, made = await to_thread.run_sync(at.carry_out, _MAKE_JOB)
    grants: list[dict[str, Any]] = json.loads(listed)
    job = json.loads(made)
    at.placeholders = {
        "CLIENT_ID": client["client_id"],
        "client_…": client["client_id"],
        "CONFIDENTIAL_ID": job["client_id"],
        "CONFIDENTIAL_SECRET": job["client_secret"],
        "GRANT_ID": grants[0]["id"],
        "ACCESS_TOKEN": tokens["access_token"],
        "REFERENCE": grants[0]["reference"],
    }


def _programs(folder: Path) -> None:
    folder.mkdir()
    _program(folder / "ostiary", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m app "$@"\n')
    if curl := shutil.which("curl"):
        _program(folder / "curl", _CURL.format(curl=curl))


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
