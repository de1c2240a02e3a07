"""`python -m bench.seeing`: what it costs a call to be seen. The same call, the same server; only what is told differs.

As in `bench`: CPU of the server process on a core of its own, the median of the rounds, the servers in turns.
"""

import argparse
import asyncio
import os
import statistics
from contextlib import ExitStack

from rich.console import Console
from rich.table import Table

from bench.__main__ import CASES, Figure, measure
from bench.servers import access_token, ostiary, pin
from tests.collector import running_collector


def compare(options: argparse.Namespace) -> dict[str, list[Figure]]:
    """Every way to be seen, in turns."""
    with ExitStack() as stack:
        collector = stack.enter_context(running_collector())
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        ways = {
            "not seen at all": (["bench.unseen"], {}),
            "id and metrics (ACCESS_LOG=off)": (["app", "serve"], {"ACCESS_LOG": "off"}),
            "default (ACCESS_LOG=quiet)": (["app", "serve"], {}),
            "a line each (ACCESS_LOG=all)": (["app", "serve"], {"ACCESS_LOG": "all"}),
            "a trace each": (["app", "serve"], traced),
            "a trace of one in twenty": (
                ["app", "serve"],
                {**traced, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.05"},
            ),
        }
        servers = {
            name: stack.enter_context(
                ostiary(sessions=False, scoped=False, module=module, more={"LOG_FORMAT": "json", **more})
            )
            for name, (module, more) in ways.items()
        }
        tokens = {name: access_token(server) for name, server in servers.items()}
        figures: dict[str, list[Figure]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, server in servers.items():
                figures[name].append(asyncio.run(measure(server, CASES[0], tokens[name], options)))
        return figures


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench.seeing", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="length of a round")
    parser.add_argument("--warm-up", type=float, default=1, help="seconds before each round that don't count")
    parser.add_argument("--rounds", type=int, default=3, help="rounds a server; the median counts")
    parser.add_argument("--connections", type=int, default=16, help="calls that wait at the same time")
    options = parser.parse_args()
    pin(os.getpid(), 1)
    table = Table(title="tools/call hello, one server process on one core")
    for column in ("what is told", "calls/s", "CPU ms/call", "ratio", "p99 ms"):
        table.add_column(column, justify="left" if column == "what is told" else "right")
    first: float | None = None
    for name, rounds in compare(options).items():
        cpu = statistics.median(figure.cpu for figure in rounds)
        first = first or cpu
        rate = statistics.median(figure.rate for figure in rounds)
        p99 = statistics.median(figure.p99 for figure in rounds)
        table.add_row(name, f"{rate:,.0f}", f"{cpu:.3f}", f"{cpu / first:.2f}", f"{p99:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
