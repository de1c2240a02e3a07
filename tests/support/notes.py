"""The example of the README's "Protect your own server", as a process of its own."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

from tests.support.process import ROOT, environment

_README = (ROOT / "README.md").read_text()
_SECONDS_TO_START = 60.0


def resources(resource: str) -> str:
    """`RESOURCES` of the authorization server."""
    return json.dumps([{"url": resource, "name": "Notes"}])


def create_client(resource: str) -> list[str]:
    """The command that makes its client."""
    found = re.search(r"^ostiary (clients create Notes .*)$", _README, re.M)
    assert found is not None
    return [*found[1].replace("https://notes.example.com/mcp", resource).split(), "--json"]


@contextmanager
def running_notes(folder: Path, issuer: str, resource: str, client: Mapping[str, str]) -> Iterator[None]:
    """The example, word for word but for its addresses, listening for the time of the `with` block."""
    [code] = [block for block in re.findall(r"```python\n(.*?)```", _README, re.S) if "# notes.py" in block]
    for written, real in (
        ("https://auth.example.com", issuer),
        ("https://notes.example.com/mcp", resource),
    ):
        assert written in code
        code = code.replace(written, real)
    (folder / "notes.py").write_text(code)
    secrets = {"NOTES_CLIENT_ID": client["client_id"], "NOTES_CLIENT_SECRET": client["client_secret"]}
    port = httpx2.URL(resource).port
    with (folder / "notes.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "notes:app", "--port", str(port)],
            cwd=folder,
            env=environment(secrets),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_answering(process, resource, folder / "notes.log")
        yield
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_answering(process: subprocess.Popen[bytes], resource: str, log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with suppress(httpx2.TransportError):
            assert httpx2.post(resource, trust_env=False).status_code == 401
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise AssertionError(log.read_text())
