"""`python -m bench.soak`: two replicas behind nginx under four fifths of what they can, for as long as one likes.

Whole flows (registration, approval, code, calls, refreshes, revocations) in a closed loop show first what this machine
can; then they are paced. Memory of each replica, its connections, and those of the database are looked at every few
seconds. Flat means: the last quarter's mean is hardly above the third's. Until then a process has filled what it
remembers (10,000 tokens), at the pace of most machines.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.proxies import Behind, running_behind
from tests.faults.clients import Connected, Crowd, crowd
from tests.faults.samples import Sample, look
from tests.support.postgres import running_postgres

_LOOK_EVERY = 5.0
_SHARE = 0.8
# What a client looks back on; older access tokens have expired in a long run.
_REMEMBERED = 20
_MOST_GROWTH = {"memory": 1.03, "connections": 1.25}


@dataclass
class Pace:
    """Requests a second that all workers together may send."""

    rate: float
    _next: float = field(default_factory=time.monotonic)

    async def wait(self) -> None:
        """Until it is one's turn."""
        now = time.monotonic()
        self._next = max(self._next, now - 1) + 1 / self.rate
        if self._next > now:
            await asyncio.sleep(self._next - now)


def slow_down(load: Crowd, pace: Pace) -> None:
    """From now on, each request of each worker waits for its turn."""
    for worker in load.workers:
        ask = worker._ask

        async def paced(step: str, request: object, *right: int, ask: object = ask) -> object:
            await pace.wait()
            return await ask(step, request, *right)  # type: ignore[operator]

        worker._ask = paced  # type: ignore[method-assign,assignment]


def forget(load: Crowd) -> None:
    """Let each worker keep its last connections only."""
    for worker in load.workers:
        kept: list[Connected] = worker.connected[-_REMEMBERED:]
        worker.connected[:] = kept


def _growth(values: Sequence[float]) -> float:
    """The last quarter's mean over that of the third."""
    quarter = max(1, len(values) // 4)
    return statistics.mean(values[-quarter:]) / statistics.mean(values[-2 * quarter : -quarter])


def judge(samples: Sequence[Sample]) -> bool:
    """Tell what was seen; whether it stayed flat."""
    flat = True
    series = {
        "memory of replica 1, MB": ([sample.memory[0] for sample in samples], "memory"),
        "memory of replica 2, MB": ([sample.memory[1] for sample in samples], "memory"),
        "open files of replica 1": ([float(sample.files[0]) for sample in samples], "connections"),
        "open files of replica 2": ([float(sample.files[1]) for sample in samples], "connections"),
        "connections of the database": ([float(sample.backends) for sample in samples], "connections"),
    }
    for name, (values, kind) in series.items():
        growth = _growth(values)
        flat = flat and growth <= _MOST_GROWTH[kind]
        print(
            f"{name}: first {values[0]:.1f}, mean {statistics.mean(values):.1f}, most {max(values):.1f},"
            f" last {values[-1]:.1f}; last quarter / third quarter {growth:.3f}"
        )
    return flat


async def soak(behind: Behind, options: argparse.Namespace) -> bool:
    """Find out what the machine can, then keep it at four fifths of that."""
    async with crowd(behind, options.workers) as load:
        await load.until_well()
        before, since = sum(load.ledger.answers.values()), time.monotonic()
        await load.until(lambda: time.monotonic() - since > options.calibrate, options.calibrate + 60)
        capacity = (sum(load.ledger.answers.values()) - before) / (time.monotonic() - since)
        print(f"capacity {capacity:.0f} requests a second; kept at {capacity * _SHARE:.0f}", flush=True)
        slow_down(load, Pace(capacity * _SHARE))
        began, samples = time.monotonic(), []
        asked = sum(load.ledger.answers.values())
        while (passed := time.monotonic() - began) < options.minutes * 60:
            forget(load)
            samples.append(await look(behind, began))
            print(
                f"{passed:6.0f} s {samples[-1].memory} {samples[-1].files} {samples[-1].backends}", flush=True
            )
            await asyncio.sleep(_LOOK_EVERY)
        answered = sum(load.ledger.answers.values()) - asked
        print(
            f"{answered} requests in {options.minutes} minutes, {answered / (options.minutes * 60):.0f} a second"
        )
        forget(load)
    return judge(samples)


def main() -> None:
    """Start everything, soak, and say whether it stayed flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument(
        "--calibrate", type=float, default=30, help="seconds to find out what the machine can"
    )
    options = parser.parse_args()
    with running_postgres(durable=True) as postgres, tempfile.TemporaryDirectory() as folder:
        postgres.create_database("soak")
        settings = {
            "REGISTRATIONS_PER_MINUTE": "100000",
            "PURGE_SECONDS": "60",
            "REGISTRATION_CAP": "1000000",
        }
        with running_behind("nginx", Path(folder), postgres.url("soak"), {}, **settings) as behind:
            flat = asyncio.run(soak(behind, options))
    sys.exit(0 if flat else 1)


if __name__ == "__main__":
    main()
