"""The disk under SQLite is full: what must be written is refused for now, what need not goes on, nothing is lost."""

import resource
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.processes import flow
from tests.support.process import running_server, settings_on

ROUNDS = 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of a process that runs")
async def test_on_a_full_disk_writing_gets_503_and_reading_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "ostiary.db"
    with running_server(tmp_path, settings_on(f"sqlite+aiosqlite:///{file}")) as server:
        async with flow.new_browser() as browser, flow.connections() as http:
            assert (await flow.sign_in(browser, server)).status_code == 303
            client = await flow.register(http, server)
            tokens = await flow.tokens_of(http, browser, server, client)
            code = await flow.code_of(browser, server, client)
            assert await flow.works(http, server, tokens["access_token"])

            # No file of the process may grow any more, as on a disk that is full.
            unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
            log = file.with_name("ostiary.db-wal")
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, unlimited[1]))
            metadata = {"redirect_uris": client["redirect_uris"], "token_endpoint_auth_method": "none"}
            for _ in range(ROUNDS):
                flow.assert_unavailable(await flow.refresh(http, server, client, tokens["refresh_token"]))
                flow.assert_unavailable(await flow.redeem(http, server, client, code))
                flow.assert_unavailable(await http.post(f"{server.url}/oauth/register", json=metadata))
                page = await flow.authorize(browser, server, client)
                assert page.status_code == 503
                assert page.headers["content-type"].startswith("text/html")
                assert await flow.works(http, server, tokens["access_token"])
                for path in ("/", "/login", "/.well-known/jwks.json", "/readyz"):
                    assert (await browser.get(f"{server.url}{path}")).status_code in {200, 303}, path

            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
            renewed = await flow.refresh(http, server, client, tokens["refresh_token"])
            assert renewed.status_code == 200, renewed.text
            redeemed = await flow.redeem(http, server, client, code)
            assert redeemed.status_code == 200, redeemed.text
            for answer in (renewed, redeemed):
                assert await flow.works(http, server, answer.json()["access_token"])
        assert "Traceback" not in server.err, server.err[-3000:]
    database = sqlite3.connect(file)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()
