"""`make bench`: what a call costs behind the door, against the same tool without one, in the same run.

CPU is the server process's own (user and system); the server runs on one core, the load on another. Each figure is
the median of the rounds, and the servers take turns, so that a busy machine disturbs all alike.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench import load
from bench.servers import Server, access_token, baseline, ostiary, pin
from tests.support.world import mcp_call, mcp_headers

_EXPECTED = b"Hello, Bench!"
_META = "2026-07-28"


@dataclass(frozen=True, slots=True)
class Case:
    """One revision of the protocol, as a client speaks it."""

    title: str
    revision: str
    sessions: bool


CASES = (
    Case("2026-07-28", _META, True),
    Case("2025-11-25, with session", "2025-11-25", True),
    Case("2025-11-25, stateless", "2025-11-25", False),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One round."""

    rate: float
    cpu: float
    p50: float
    p99: float


async def measure(server: Server, case: Case, token: str | None, options: argparse.Namespace) -> Figure:
    """One round against one server."""
    connections = [await _connect(server, case, token) for _ in range(options.connections)]
    await load.run(connections, options.warm_up, _EXPECTED)
    before = server.cpu_seconds()
    result = await load.run(connections, options.seconds, _EXPECTED)
    used = server.cpu_seconds() - before
    for connection, _ in connections:
        await connection.close()
    return Figure(result.rate, used * 1000 / result.calls, result.percentile(50), result.percentile(99))


async def _connect(server: Server, case: Case, token: str | None) -> tuple[load.Connection, bytes]:
    connection = await load.Connection.open(server.port)
    if case.revision == _META:
        return connection, connection.request(
            mcp_headers(token, "hello"), mcp_call("hello", {"name": "Bench"})
        )
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": case.revision}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if case.sessions:
        await _open_session(connection, headers, case.revision)
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "hello", "arguments": {"name": "Bench"}},
    }
    return connection, connection.request(headers, call)


async def _open_session(connection: load.Connection, headers: dict[str, str], revision: str) -> None:
    parameters = {
        "protocolVersion": revision,
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": parameters}
    answer = await connection.send(connection.request(headers, hello))
    headers["mcp-session-id"] = answer.headers["mcp-session-id"]
    await connection.send(
        connection.request(headers, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    )


def compare(case: Case, options: argparse.Namespace) -> list[tuple[str, list[Figure]]]:
    """The servers, in turns."""
    with ExitStack() as stack:
        servers: list[tuple[Server, str | None]] = [(stack.enter_context(baseline(case.sessions)), None)]
        for scoped in (False, True):
            ours = stack.enter_context(ostiary(case.sessions, scoped))
            servers.append((ours, access_token(ours)))
        figures: dict[str, list[Figure]] = {server.name: [] for server, _ in servers}
        for _ in range(options.rounds):
            for server, bearer in servers:
                figures[server.name].append(asyncio.run(measure(server, case, bearer, options)))
        return list(figures.items())


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="length of a round")
    parser.add_argument("--warm-up", type=float, default=1, help="seconds before each round that don't count")
    parser.add_argument("--rounds", type=int, default=3, help="rounds a server; the median counts")
    parser.add_argument("--connections", type=int, default=16, help="calls that wait at the same time")
    options = parser.parse_args()
    pin(os.getpid(), 1)
    table = Table(
        title=f"tools/call hello, {options.connections} connections, one server process on one core"
    )
    for column in (
        "revision",
        "server",
        "calls/s",
        "CPU ms/call",
        "p50 ms",
        "p99 ms",
        "CPU ratio",
        "p99 ratio",
    ):
        table.add_column(column, justify="left" if column in {"revision", "server"} else "right")
    for case in CASES:
        first: Figure | None = None
        for name, rounds in compare(case, options):
            middle = Figure(
                *(
                    statistics.median(getattr(figure, field) for figure in rounds)
                    for field in ("rate", "cpu", "p50", "p99")
                )
            )
            first = first or middle
            table.add_row(
                case.title,
                name,
                f"{middle.rate:,.0f}",
                f"{middle.cpu:.3f}",
                f"{middle.p50:.2f}",
                f"{middle.p99:.2f}",
                f"{middle.cpu / first.cpu:.2f}",
                f"{middle.p99 / first.p99:.2f}",
            )
        table.add_section()
    Console(width=130).print(table)


if __name__ == "__main__":
    try:
        main()
    except subprocess.SubprocessError as error:
        raise SystemExit(f"The benchmark could not run: {error}") from error
