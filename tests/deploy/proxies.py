"""Real proxies, as the examples under `deploy/` configure them, on free ports of this machine and with our own CA."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.support.process import ROOT, ServerProcess, free_port, settings_on
from tests.support.self_signed import SelfSigned, self_signed

DEPLOY = ROOT / "deploy"
SECONDS_TO_START = 20.0
NOTHING: Mapping[str, Any] = MappingProxyType({})
# Where the examples say that the replicas listen.
REPLICAS = ("127.0.0.1:8001", "127.0.0.1:8002")


@dataclass(frozen=True)
class Behind:
    """Two replicas behind a proxy."""

    public_url: str
    plain_port: int | None
    trust: ssl.SSLContext
    replicas: list[ServerProcess]
    database_url: str

    def replace(self, number: int, settings: Mapping[str, str] = NOTHING, **how: Any) -> ServerProcess:
        """Start another process, with these settings changed, where this replica was, once that has ended.

        It listens when this returns.
        """
        old = self.replicas[number]
        old.end()
        new = ServerProcess(old.folder, {**old.settings, **settings}, old.port, **how)
        self.replicas[number] = new
        new.wait_until_listening()
        return new


def program(name: str) -> str:
    """Where a proxy is installed; a test that needs it is left out where it is not, and says why."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed: install the package {name} of your system.")
    return found


def replaced(text: str, changes: dict[str, str]) -> str:
    """An example with other words in some places, each of which it must have."""
    for old, new in changes.items():
        assert old in text, f"the example does not say {old}"
        text = text.replace(old, new)
    return text


def nginx(
    example: Path, folder: Path, authority: SelfSigned, ports: tuple[int, int], to: list[str]
) -> list[str]:
    """Write the configuration; the command that starts it. `ports` are those of TLS and of plain HTTP."""
    text = example.read_text()
    host = "mcp.example.com" if "mcp.example.com" in text else "example.com"
    changes = {
        "listen 443 ssl http2;": f"listen 127.0.0.1:{ports[0]} ssl http2;",
        f"ssl_certificate /etc/ssl/{host}.pem;": f"ssl_certificate {authority.certificate};",
        f"ssl_certificate_key /etc/ssl/private/{host}.key;": f"ssl_certificate_key {authority.key};",
        f"server_name {host};": "server_name localhost;",
        **dict(zip(REPLICAS, to, strict=True)),
    }
    if "listen 80;" in text:
        changes |= {"listen 80;": f"listen 127.0.0.1:{ports[1]};"}
    (folder / "ostiary.conf").write_text(replaced(text, changes))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr warn;\n"
        # What a test wrote belongs to whoever runs it.
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{temporary}"
        f"include {folder}/ostiary.conf;\n}}\n"
    )
    return [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(
    example: Path, folder: Path, authority: SelfSigned, ports: tuple[int, int], to: list[str]
) -> list[str]:
    """The same for Caddy, which is kept from asking anyone for certificates."""
    text = example.read_text()
    host = "mcp.example.com" if "mcp.example.com" in text else "example.com"
    changes = {
        f"\n{host} {{": f"\nhttps://localhost:{ports[0]} {{\n\ttls {authority.certificate} {authority.key}",
        **dict(zip(REPLICAS, to, strict=True)),
    }
    options = f"{{\n\tadmin off\n\thttp_port {ports[1]}\n\thttps_port {ports[0]}\n}}\n"
    file = folder / "Caddyfile"
    file.write_text(options + replaced(text, changes))
    return [program("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]


EXAMPLES = {
    "nginx": (nginx, "nginx/ostiary.conf", ""),
    "nginx-prefix": (nginx, "nginx/prefix.conf", "/ostiary"),
    "caddy": (caddy, "caddy/Caddyfile", ""),
    "caddy-prefix": (caddy, "caddy/prefix.Caddyfile", "/ostiary"),
}


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    raise AssertionError(f"nothing listens on {port}:\n{log.read_text()}")


@contextmanager
def running_behind(
    name: str, folder: Path, database_url: str, how: Mapping[str, Any] = NOTHING, **settings: str
) -> Iterator[Behind]:
    """Two replicas on a database, behind the proxy of this example; `how` they are started, if otherwise."""
    if sys.platform != "linux":
        pytest.skip("only Linux has a whole network of loopback addresses, which these tests come from.")
    make, example, prefix = EXAMPLES[name]
    authority = self_signed(folder, "localhost")
    ports = (free_port(), free_port())
    public_url = f"https://localhost:{ports[0]}{prefix}"
    shared = {
        **settings_on(database_url),
        "PUBLIC_URL": public_url,
        "TRUSTED_PROXIES": "127.0.0.1",
        **settings,
    }
    replica_ports = (free_port(), free_port())
    to = [f"127.0.0.1:{port}" for port in replica_ports]
    command = make(DEPLOY / example, folder, authority, ports, to)
    with ExitStack() as stack:
        replicas = [ServerProcess(folder, shared, port, **how) for port in replica_ports]
        stack.callback(_end_all, replicas)
        for replica in replicas:
            replica.wait_until_listening()
        log = folder / "proxy.log"
        environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        }
        with log.open("wb") as output:
            proxy = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        stack.callback(_end, proxy)
        _wait_until_listening(proxy, ports[0], log)
        # Caddy's plain port redirects for every host; the example of a path has none for nginx.
        plain = None if name == "nginx-prefix" else ports[1]
        yield Behind(public_url, plain, authority.trust, replicas, database_url)


def _end_all(replicas: list[ServerProcess]) -> None:
    """Those that are there at the end: a test may have put others in their place."""
    for replica in replicas:
        replica.end()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
