"""The servers that are measured, each a process of its own on a core of its own."""

import asyncio
import base64
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import httpx2
import psutil

from bench.scoped import SCOPES
from tests.support.world import forms_of

_ROOT = Path(__file__).parents[1]
_USER, _PASSWORD = "alice", "a password for benchmarks"
_VERIFIER = "v" * 43
_START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, user and system, all threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where the system can and there are two."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


@contextmanager
def running(name: str, module: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """Start `python -m module`, wait until its port answers, and end it afterwards; show its log if it ends before."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(_ROOT),
                "PORT": str(port),
                "PUBLIC_URL": f"http://localhost:{port}",
                **environment,
            },
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            pin(process.pid, 0)
            asyncio.run(_answers(port, process))
            yield Server(name, port, psutil.Process(process.pid))
        finally:
            if process.poll() is not None:
                log.seek(0)
                sys.stderr.write(log.read())
            process.terminate()
            process.wait()


@contextmanager
def ostiary(
    sessions: bool,
    scoped: bool,
    module: Sequence[str] = ("app", "serve"),
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """The real server, as `make run` starts it; `scoped` makes the tool need a scope of its own; `more` settings."""
    environment = {
        "BOOTSTRAP_ADMIN_USERNAME": _USER,
        "BOOTSTRAP_ADMIN_PASSWORD": _PASSWORD,
        "MCP_SESSIONS": str(sessions).lower(),
        "SECRET_KEY": "a secret key for benchmarks, long enough",
        # Longer than the benchmark runs; nothing else about tokens changes.
        "ACCESS_TOKEN_SECONDS": "3600",
    }
    if scoped:
        environment |= {"MCP_SERVER": "bench.scoped:mcp", "SCOPES": SCOPES}
    name = "Ostiary, bearer, user" + (" and scope" if scoped else "")
    with running(name, module, {**environment, **more}) as server:
        yield server


@contextmanager
def baseline(sessions: bool) -> Iterator[Server]:
    """The unauthenticated `MCPServer`."""
    environment = {"BENCH_SESSIONS": str(sessions).lower()}
    with running("MCPServer, no auth", ["bench.baseline"], environment) as server:
        yield server


def access_token(server: Server) -> str:
    """Register, sign in and approve as a person would, and redeem the code."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).rstrip(b"=").decode()
    redirect_uri = "http://127.0.0.1/callback"
    with httpx2.Client(base_url=f"http://localhost:{server.port}") as browser:
        registration = {"redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none"}
        client_id = browser.post("/oauth/register", json=registration).json()["client_id"]
        parameters = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        page = browser.get("/authorize", params=parameters, follow_redirects=True)
        form = next(form for form in forms_of(page.text) if "password" in form.fields)
        person = {"username": _USER, "password": _PASSWORD}
        page = browser.post(form.action, data={**form.fields, **person}, follow_redirects=True)
        form = forms_of(page.text)[0]
        answer = browser.post(form.action, data={**form.fields, "decision": "approve"})
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        redemption = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": _VERIFIER,
            "client_id": client_id,
        }
        return str(browser.post("/oauth/token", data=redemption).json()["access_token"])


async def _answers(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        await writer.wait_closed()
        return
    raise RuntimeError("the server did not start")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
