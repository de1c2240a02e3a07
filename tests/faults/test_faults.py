"""Something breaks while people and clients go on: nothing is taken twice, nothing good is refused, nothing is lost."""

import asyncio
import json
import signal
import time
from pathlib import Path

import httpx2
import pytest

from tests.faults.clients import GONE, crowd
from tests.faults.conftest import RunningBehind
from tests.processes import flow
from tests.support.postgres import PostgresServer
from tests.support.process import run_command
from tests.support.redis import MISSING, find_server, running_redis

# How long a process may go by the revocations that it knows.
REVOCATION_LIMIT = 5.0
SLACK = 5.0


async def test_kill_9_of_a_replica_is_survived_by_every_flow(two: RunningBehind) -> None:
    with two() as behind:
        async with crowd(behind) as load:
            await load.until_well()
            for number in (0, 1, 0):
                behind.replicas[number].kill()
                await load.until_well()
                await asyncio.to_thread(behind.replace, number)
                await load.until_well(10)
        # Nobody was told that something is away: another replica did it, or nginx said that one broke.
        assert load.answered("503") == 0


async def test_rac_12_a_database_that_restarts_shows_as_503_and_as_nothing_else(
    two: RunningBehind, own_postgres: PostgresServer
) -> None:
    with two() as behind:
        async with crowd(behind) as load:
            await load.until_well()
            for _ in range(2):
                await asyncio.to_thread(own_postgres.stop)
                await asyncio.to_thread(own_postgres.start)
                await load.until_well()
        assert load.answered("502") == load.answered("broken") == 0


async def test_rac_12_while_the_database_is_gone_calls_go_on_as_long_as_revocations_are_known(
    two: RunningBehind, own_postgres: PostgresServer
) -> None:
    with two() as behind:
        async with crowd(behind) as load:
            await load.until_well()
            worker = next(worker for worker in load.workers if worker.connected)
            known = worker.connected[0]

            await asyncio.to_thread(own_postgres.stop)
            stopped = time.monotonic()
            served = 0.0
            while (passed := time.monotonic() - stopped) < GONE:
                answer = await worker._post_call(known)
                if answer.status_code == 200:
                    served = passed
                else:
                    flow.assert_unavailable(answer)
                async with behind_machine(behind.replicas[0].url) as http:
                    assert (await http.get("/healthz")).status_code == 200
                    assert (await http.get("/readyz")).status_code == 503
            assert served < REVOCATION_LIMIT + SLACK, "served although nobody knows what is revoked"

            await asyncio.to_thread(own_postgres.start)
            back = time.monotonic()
            await load.until_well()
            well = time.monotonic() - back
            print(f"gone {GONE:.0f} s; calls served for {served:.1f} s; well {well:.1f} s after")
        assert load.answered("503", "refresh") > 0
        assert load.answered("502") == load.answered("broken") == 0


async def test_rac_13_with_every_connection_busy_the_others_wait_a_bounded_time(two: RunningBehind) -> None:
    with two(settings={"DATABASE_POOL_SIZE": "2"}) as behind:
        async with crowd(behind) as load:
            await load.until_well()
            async with flow.sql(behind.database_url) as database, database.transaction():
                await database.execute("LOCK TABLE grants IN ACCESS EXCLUSIVE MODE")
                began = time.monotonic()
                await load.until(lambda: load.answered("503") > 3)
                assert time.monotonic() - began < 20, "nobody was told to come again"
                async with behind_machine(behind.replicas[0].url) as http:
                    assert (await http.get("/healthz")).status_code == 200
            await load.until_well()
        assert load.answered("502") == load.answered("broken") == 0


async def test_rac_10_keys_rotate_under_load_and_no_valid_token_is_refused(
    two: RunningBehind, tmp_path: Path
) -> None:
    with two() as behind:
        async with crowd(behind) as load:
            await load.until_well()
            for _ in range(2):
                done = await asyncio.to_thread(
                    run_command,
                    tmp_path,
                    behind.replicas[0].settings,
                    *("keys", "rotate", "--after", "2", "--json"),
                )
                assert done.returncode == 0, done.stderr
                begins = time.monotonic() + 2
                await load.until(lambda at=begins: time.monotonic() > at)  # type: ignore[misc]
                await load.until_well()
            listed = await asyncio.to_thread(
                run_command, tmp_path, behind.replicas[0].settings, "keys", "list", "--json"
            )
        states = sorted(key["state"] for key in json.loads(listed.stdout))
        assert states == ["signing", "verifying", "verifying"]
        assert load.answered("401") == 0
        assert load.answered("503") == load.answered("502") == load.answered("broken") == 0


async def test_replicas_are_replaced_one_after_another_and_nobody_notices(two: RunningBehind) -> None:
    with two() as behind:
        async with crowd(behind) as load:
            await load.until_well()
            for number in (0, 1):
                behind.replicas[number].send(signal.SIGTERM)
                await asyncio.to_thread(behind.replicas[number].wait)
                await load.until_well()
                await asyncio.to_thread(behind.replace, number)
                await load.until_found_again()
        assert load.answered("503") == load.answered("502") == load.answered("broken") == 0


async def test_the_secret_key_changes_in_two_rounds_and_nobody_notices(two: RunningBehind) -> None:
    """First both replicas know the new one besides, then it is the first; what the old one made goes on."""
    with two() as behind:
        old, new = behind.replicas[0].settings["SECRET_KEY"], "another secret key, as long as it has to be"
        rounds = (
            {"SECRET_KEY": old, "SECRET_KEY_PREVIOUS": new},
            {"SECRET_KEY": new, "SECRET_KEY_PREVIOUS": old},
        )
        async with crowd(behind) as load:
            await load.until_well()
            for settings in rounds:
                for number in (0, 1):
                    behind.replicas[number].send(signal.SIGTERM)
                    await asyncio.to_thread(behind.replicas[number].wait)
                    await asyncio.to_thread(behind.replace, number, settings)
                    await load.until_found_again()
        assert load.answered("503") == load.answered("502") == load.answered("broken") == 0
        assert load.answered("401") == load.ledger.lost == 0


@pytest.mark.parametrize("seconds", [30, -30])
async def test_rac_11_a_replica_whose_clock_is_off_serves_and_refuses_the_same(
    two: RunningBehind, seconds: int
) -> None:
    with two() as behind:
        command = ("-m", "tests.faults.off_clock", str(seconds), str(behind.replicas[1].port))
        behind.replace(1, command=command)
        async with crowd(behind) as load:
            await load.until_well(100)
        assert load.answered("401") == load.answered("503") == load.answered("502") == 0
        assert load.ledger.lost == 0


async def test_a_store_of_limits_that_is_gone_is_noticed_by_nobody(two: RunningBehind) -> None:
    program = find_server()
    if program is None:
        pytest.skip(MISSING)
    with running_redis(program) as redis, two(settings={"LIMITS_URL": redis.url}) as behind:
        async with crowd(behind) as load:
            await load.until_well()
            redis.kill()
            await load.until_well()
            redis.start()
            await load.until_well()
        assert load.answered("503") == load.answered("502") == load.answered("broken") == 0


def behind_machine(url: str) -> httpx2.AsyncClient:
    """Whoever watches over one replica."""
    return httpx2.AsyncClient(base_url=url, timeout=10, trust_env=False)
