"""The command line for tests: as a process beside the server, or quicker, inside this process."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from typer.testing import CliRunner

from app.cli import cli
from tests.support.world import SECRET_KEY

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    output: str
    error: str

    @property
    def data(self) -> Any:
        """What --json printed."""
        assert self.code == 0, self.error
        return json.loads(self.output)


@dataclass(frozen=True)
class CommandLine:
    """`python -m app` with these settings, run in a folder without a `.env`."""

    environment: dict[str, str]
    folder: Path

    async def __call__(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command as a process, with warnings as errors."""
        done = await anyio.run_process(
            [sys.executable, "-W", "error", "-m", "app", *arguments],
            input=stdin.encode(),
            check=False,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **self.environment},
            stderr=subprocess.PIPE,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def inside(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command in this process and thread, which must have no running event loop."""
        done = CliRunner().invoke(cli, arguments, input=stdin, env=self.environment)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    async def quickly(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command in this process, on another thread."""
        return await anyio.to_thread.run_sync(lambda: self.inside(*arguments, stdin=stdin))


def command_line(database_url: str, folder: Path, **changes: str) -> CommandLine:
    """The command line of a server on this database."""
    environment = {
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET_KEY,
        "PUBLIC_URL": "http://localhost:8000",
        **changes,
    }
    return CommandLine(environment, folder)


def assert_refused(result: Result, word: str) -> None:
    """Exit code 1, nothing on stdout, one sentence on stderr."""
    assert (result.code, result.output) == (1, ""), result
    assert result.error.count("\n") == 1, result.error
    assert result.error.endswith(".\n")
    assert word in result.error
