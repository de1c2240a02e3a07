"""RAC-10: a key is rotated while calls arrive at two processes, and no valid token is refused."""

import asyncio
import json
from pathlib import Path

import httpx2

from app.oauth import jwt
from tests.processes import flow
from tests.processes.conftest import Pair
from tests.support.process import run_command

AHEAD = 3  # seconds
AFTERWARDS = 2


async def test_rac_10_rotation_under_load_refuses_no_valid_token(
    pair: Pair, browser: httpx2.AsyncClient, http: httpx2.AsyncClient, folder: Path
) -> None:
    client = await flow.register(http, pair[0])
    tokens = await flow.tokens_of(http, browser, pair[0], client)
    over = asyncio.Event()
    statuses: list[int] = []
    keys: set[str | None] = set()

    async def call_on() -> None:
        """New tokens from one process, used at the other at once."""
        nonlocal tokens
        number = 0
        while not over.is_set():
            number += 1
            renewed = await flow.refresh(http, pair[number % 2], client, tokens["refresh_token"])
            tokens = renewed.json()
            token = jwt.read_unverified(tokens["access_token"], [jwt.ACCESS_TOKEN_TYPE], [jwt.ALGORITHM])
            keys.add(token.kid)
            for server in (pair[(number + 1) % 2], pair[number % 2]):
                statuses.append((await flow.call(http, server, tokens["access_token"])).status_code)

    async def press(first: str) -> None:
        """The token from before the rotation, all the time."""
        while not over.is_set():
            answers = await asyncio.gather(*(flow.call(http, server, first) for server in pair * 4))
            statuses.extend(answer.status_code for answer in answers)

    async def rotate() -> None:
        settings = pair[0].settings
        done = await asyncio.to_thread(
            run_command, folder, settings, "keys", "rotate", "--after", str(AHEAD), "--json"
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == "waiting"
        await asyncio.sleep(AHEAD + AFTERWARDS)
        over.set()

    await asyncio.gather(call_on(), press(tokens["access_token"]), rotate())

    assert set(statuses) == {200}, {status: statuses.count(status) for status in set(statuses)}
    assert len(statuses) > 100
    assert len(keys) == 2, "the new key never signed"
