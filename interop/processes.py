"""Child processes that a test listens to: what they say is the event to wait for, never a pause."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

GRACE = 10.0

Command = Sequence[str | Path]


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """A running process whose lines are kept, so that a failing test can show all of them."""

    def __init__(self, command: Command, env: Mapping[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            [str(part) for part in command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._lines: list[tuple[str, str]] = []
        self._read = 0
        self._news = threading.Condition()
        self._streams = [
            self._listen("out", self._process.stdout),
            self._listen("err", self._process.stderr),
        ]

    def _listen(self, name: str, stream: IO[str] | None) -> threading.Thread:
        assert stream is not None
        thread = threading.Thread(target=self._keep, args=(name, stream), daemon=True)
        thread.start()
        return thread

    def _keep(self, name: str, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self._lines.append((name, line.rstrip("\n")))
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def out(self) -> str:
        """Standard output so far."""
        return "\n".join(text for name, text in self._lines if name == "out")

    @property
    def everything(self) -> str:
        """Both streams so far, for error messages."""
        return "\n".join(text for _, text in self._lines)

    @property
    def running(self) -> bool:
        """Whether any stream is still open."""
        return any(thread.is_alive() for thread in self._streams)

    def expect(self, pattern: str, seconds: float) -> re.Match[str]:
        """The next line not yet looked at that matches, waiting for it as long as the process lives."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                while self._read < len(self._lines):
                    self._read += 1
                    if found := re.search(pattern, self._lines[self._read - 1][1]):
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or not self.running:
                    raise AssertionError(f"no line matched {pattern!r} in:\n{self.everything}")
                self._news.wait(min(left, 0.2))

    def hear(self, seconds: float) -> None:
        """Wait for the next line, at most so long; for events that a process does not announce."""
        with self._news:
            self._news.wait(seconds)

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hush(self) -> None:
        """Nothing more will be said to it."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def finish(self, seconds: float) -> int:
        """The exit code, with everything that was said read to the end."""
        self.hush()
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.everything}") from None
        for thread in self._streams:
            thread.join(GRACE)
        return code

    def end(self) -> None:
        """End it and what it started, by the id of the group it leads."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
            for thread in self._streams:
                thread.join(GRACE)
            if self._process.returncode is not None and not self.running:
                break
        self.hush()


@contextmanager
def running(command: Command, env: Mapping[str, str], cwd: Path) -> Iterator[Child]:
    """A child for the length of a block."""
    child = Child(command, env, cwd)
    try:
        yield child
    finally:
        child.end()


def run(command: Command, env: Mapping[str, str], cwd: Path, seconds: float) -> tuple[int, Child]:
    """A child that is expected to end by itself."""
    with running(command, env, cwd) as child:
        return child.finish(seconds), child
