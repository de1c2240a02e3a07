"""What the processes and the database hold while they work."""

import time
from dataclasses import dataclass

import psutil

from tests.deploy.proxies import Behind
from tests.processes import flow


@dataclass(frozen=True)
class Sample:
    """One look: seconds since the beginning, megabytes and open files of each replica, the database's connections."""

    at: float
    memory: list[float]
    files: list[int]
    backends: int


async def look(behind: Behind, began: float) -> Sample:
    """Look at both replicas and their database now."""
    processes = [psutil.Process(replica.pid) for replica in behind.replicas]
    async with flow.sql(behind.database_url) as database:
        backends = await database.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )
    return Sample(
        time.monotonic() - began,
        [process.memory_info().rss / 1e6 for process in processes],
        [process.num_fds() for process in processes],
        int(backends) - 1,
    )
