"""Real server processes and commands: started as an operator starts them, on free ports, ended by their ids."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from app.settings import Settings
from tests.support.world import PASSWORD, SECRET_KEY

ROOT = Path(__file__).parents[2]
USERNAME = "alice"
SECONDS_TO_START = 60.0
SECONDS_TO_END = 20.0
SECONDS_FOR_A_COMMAND = 60.0
LOOK_EVERY = 0.02


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(settings: Mapping[str, str], root: Path = ROOT) -> dict[str, str]:
    """The machine's environment with these settings and nobody else's; the checkout at `root` is importable."""
    known = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in known}
    return {**kept, "PYTHONPATH": str(root), **settings}


def run_command(
    folder: Path, settings: Mapping[str, str], *arguments: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `ostiary …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment(settings),
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS_FOR_A_COMMAND,
        check=False,
    )


class ServerProcess:
    """One `ostiary serve`. Replicas share `PUBLIC_URL` and differ in the port that they listen on.

    Args:
        folder: where it runs; its output is kept there, and no `.env` of anyone else is.
        settings: its environment; PORT is added, and PUBLIC_URL on that port unless it is given.
        root: the checkout that it runs; another one for another release.
        command: what runs it, after the interpreter.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        port: int | None = None,
        root: Path = ROOT,
        command: Sequence[str] = ("-m", "app", "serve"),
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        public_url = settings.get("PUBLIC_URL", f"http://localhost:{self.port}")
        self.settings = {**settings, "PUBLIC_URL": public_url, "PORT": str(self.port)}
        self.url = f"http://127.0.0.1:{self.port}"
        self.resource = f"{public_url}/mcp"
        self._out = folder / f"serve-{self.port}.out"
        self._err = folder / f"serve-{self.port}.err"
        # Whoever comes after another one on the same port writes on.
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self._begins = (out.tell(), err.tell())
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=environment(self.settings, root),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """What it printed."""
        return self._out.read_bytes()[self._begins[0] :].decode()

    @property
    def err(self) -> str:
        """What it complained about."""
        return self._err.read_bytes()[self._begins[1] :].decode()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_listening(self) -> None:
        """Return as soon as its port takes a connection."""
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            code = self._process.poll()
            assert code is None, f"it ended with {code}:\n{self.out}\n{self.err}"
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            # Looked at again after a moment, or at once when it ends.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LOOK_EVERY)
        raise AssertionError(f"nothing listens on {self.port}:\n{self.out}\n{self.err}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it, and to nothing else."""
        self._process.send_signal(number)

    def wait(self, seconds: float = SECONDS_TO_END) -> int:
        """Its exit code, once it has ended; negative for a signal."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """`kill -9`: it gets no chance to finish anything."""
        self.send(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """As Ctrl-C would, and for good when that does not help; nothing if it has ended."""
        if self._process.poll() is not None:
            return
        self.send(signal.SIGINT)
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running_server(
    folder: Path, settings: Mapping[str, str], port: int | None = None
) -> Iterator[ServerProcess]:
    """A server that listens for the time of the `with` block."""
    server = ServerProcess(folder, settings, port)
    try:
        server.wait_until_listening()
        yield server
    finally:
        server.end()


@contextmanager
def running_pair(
    folder: Path, database_url: str, **settings: str
) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two replicas that start at the same moment on one empty database."""
    first_port, second_port = free_port(), free_port()
    shared = {**settings_on(database_url), "PUBLIC_URL": f"http://localhost:{first_port}", **settings}
    first, second = ServerProcess(folder, shared, first_port), ServerProcess(folder, shared, second_port)
    try:
        first.wait_until_listening()
        second.wait_until_listening()
        yield first, second
    finally:
        first.end()
        second.end()


def settings_on(database_url: str) -> dict[str, str]:
    """Settings of a server on this database, with one person who can sign in: `USERNAME`, `PASSWORD`."""
    return {
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET_KEY,
        "BOOTSTRAP_ADMIN_USERNAME": USERNAME,
        "BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
    }
