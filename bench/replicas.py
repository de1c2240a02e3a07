"""`python -m bench.replicas`: how many calls of `/mcp` two replicas answer on two cores, against one of them alone.

Each replica is on a core of its own, and asked by a load generator of its own (wrk), which takes its part of the same
core: it weighs the same on one replica and on two.
"""

import argparse
import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from bench.servers import pin
from tests.processes import flow
from tests.support.postgres import running_postgres
from tests.support.process import ServerProcess, running_pair
from tests.support.world import mcp_call, mcp_headers

_CONNECTIONS = 16
_GOAL = 1.8


async def _access_token(servers: Sequence[ServerProcess]) -> str:
    async with flow.new_browser() as browser, flow.connections() as http:
        assert (await flow.sign_in(browser, servers[0])).status_code == 303
        client = await flow.register(http, servers[0])
        return str((await flow.tokens_of(http, browser, servers[0], client))["access_token"])


def _script(folder: Path, token: str) -> Path:
    headers = {**mcp_headers(token, "whoami"), "content-type": "application/json"}
    lines = [
        'wrk.method = "POST"',
        f"wrk.body = {json.dumps(json.dumps(mcp_call('whoami', {})))}",
        *(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()),
    ]
    script = folder / "call.lua"
    script.write_text("\n".join(lines))
    return script


def _run(servers: Sequence[ServerProcess], script: Path, seconds: int) -> tuple[float, float]:
    """Calls a second of all of them together, and CPU milliseconds of a call."""
    used = sum(sum(psutil.Process(server.pid).cpu_times()[:2]) for server in servers)
    with ExitStack() as stack:
        command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
        running = []
        for core, server in enumerate(servers):
            asking = subprocess.Popen([*command, f"{server.url}/mcp"], stdout=subprocess.PIPE, text=True)
            running.append(stack.enter_context(asking))
            # Else the one that asks a replica alone would have the other core for itself.
            pin(asking.pid, core)
        said = [process.communicate()[0] for process in running]
    used = sum(sum(psutil.Process(server.pid).cpu_times()[:2]) for server in servers) - used
    for each in said:
        if "Non-2xx" in each or "Socket errors" in each:
            raise RuntimeError(each)
    calls = sum(int(re.findall(r"(\d+) requests in", each)[0]) for each in said)
    return calls / seconds, used / calls * 1000


def main() -> None:
    """Measure in turns, so that a busy machine disturbs both alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: install the package wrk of your system.")
    with running_postgres(durable=True) as postgres, tempfile.TemporaryDirectory() as name:
        postgres.create_database("bench_replicas")
        folder = Path(name)
        with running_pair(folder, postgres.url("bench_replicas")) as servers:
            for core, server in enumerate(servers):
                pin(server.pid, core)
            script = _script(folder, asyncio.run(_access_token(servers)))
            _run(servers, script, 3)
            ones, twos = [], []
            for _ in range(options.rounds):
                ones.append(_run(servers[:1], script, options.seconds))
                twos.append(_run(servers, script, options.seconds))
    one, two = (statistics.median(rate for rate, _ in each) for each in (ones, twos))
    cpu_one, cpu_two = (statistics.median(cpu for _, cpu in each) for each in (ones, twos))
    print(f"one replica   {one:7.0f} calls a second, {cpu_one:.3f} ms of CPU each")
    print(f"two replicas  {two:7.0f} calls a second, {cpu_two:.3f} ms of CPU each")
    print(f"ratio {two / one:.2f} (goal {_GOAL})")
    sys.exit(0 if two / one >= _GOAL else 1)


if __name__ == "__main__":
    main()
