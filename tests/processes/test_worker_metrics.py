"""Several workers behind one port, each with numbers of its own: a scrape tells those of all of them."""

import asyncio
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest
import typer

from app.cli import serve
from app.settings import Settings
from tests.metrics import Scrape, read_samples
from tests.processes import flow
from tests.support.process import SECONDS_TO_START, ServerProcess, running_server, settings_on

pytestmark = pytest.mark.postgresql
ASKED = 40
LIMIT = "database_connections_limit"


async def scrape(server: ServerProcess) -> Scrape:
    """Everything, as one of the workers tells it; on a connection of its own, so that it may be any of them."""
    async with flow.connections() as http:
        return Scrape(read_samples((await http.get(f"{server.url}/metrics")).text))


async def ask(server: ServerProcess, path: str, times: int) -> None:
    """Ask again and again, each time on a new connection."""

    async def once() -> None:
        async with flow.connections() as http:
            assert (await http.get(f"{server.url}{path}")).status_code == 200

    await asyncio.gather(*(once() for _ in range(times)))


async def test_a_scrape_tells_of_all_workers_and_forgets_what_a_dead_one_held(
    empty_database: str, folder: Path
) -> None:
    settings = {
        **settings_on(empty_database),
        "WORKERS": "2",
        "DATABASE_POOL_SIZE": "7",
        "TMPDIR": str(folder),
    }
    with running_server(folder, settings) as server:
        await ask(server, "/.well-known/jwks.json", ASKED)
        seen = [await scrape(server) for _ in range(8)]
        asked = {"endpoint": "/.well-known/jwks.json", "status": "200"}
        assert [one("requests_total", **asked) for one in seen] == [ASKED] * 8
        assert [one("request_seconds_count", endpoint=asked["endpoint"]) for one in seen] == [ASKED] * 8
        # Each may have seven.
        assert {one(LIMIT) for one in seen} == {14}
        assert seen[0]("build_info") == 1

        before = _workers(server)
        os.kill(min(before), signal.SIGKILL)
        deadline = time.monotonic() + SECONDS_TO_START
        # The one that takes its place has connections of its own; what the dead one had in use counts no more.
        while len(_workers(server) - before) < 1 or (last := await scrape(server))(LIMIT) != 14:
            assert time.monotonic() < deadline
            await scrape(server)
        assert last("requests_total", **asked) == ASKED
        assert _shared(folder)
    assert not _shared(folder)


def _shared(folder: Path) -> list[Path]:
    """Where the workers count together."""
    return list(folder.glob("ostiary-metrics-*/*.db"))


def _workers(server: ServerProcess) -> set[int]:
    """The process ids of those that serve."""
    found = set()
    for child in psutil.Process(server.pid).children():
        # One that has just ended tells nothing any more.
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


def test_workers_that_have_no_place_to_count_together_do_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/directory")
    settings = Settings(_env_file=None, workers=2, database_url="postgresql://localhost/x")
    with pytest.raises(typer.Exit), serve._shared_metrics(settings):
        pass
    assert "TMPDIR" in capsys.readouterr().err


async def test_one_process_needs_no_files(
    empty_database: str, folder: Path, http: httpx2.AsyncClient
) -> None:
    with running_server(folder, settings_on(empty_database)) as server:
        await http.get(f"{server.url}/.well-known/jwks.json")
        text = (await http.get(f"{server.url}/metrics")).text
    assert "process_resident_memory_bytes" in text
    assert Scrape(read_samples(text))("requests_total", endpoint="/.well-known/jwks.json") >= 1
