"""`ostiary selftest` takes a server of ours for what it is, and sees each wrong thing that a server does."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.selftest.case import Outcome
from app.selftest.trial import CASES, NothingToTry, run_trial
from tests.command_line import CommandLine
from tests.processes import flow
from tests.selftest_wrongs import AUTHORIZE, CALLBACK, WRONG, Break, answer_json, instead, to
from tests.support.breaking_proxy import BreakingProxy, running_proxy
from tests.support.process import ServerProcess, run_command, running_server, settings_on
from tests.support.troubled_server import URL, TroubledServer, certified, reach_of, running_troubled, said

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that the world knows as https://mcp.example."""
    folder = tmp_path_factory.mktemp("selftest")
    settings = settings_on(f"sqlite+aiosqlite:///{folder}/ostiary.db")
    with running_server(folder, {**settings, "PUBLIC_URL": "https://mcp.example"}) as server:
        yield server


@pytest.fixture(scope="module")
def listening(process: ServerProcess) -> Iterator[BreakingProxy]:
    with running_proxy(process.url, certified("mcp.example")) as proxy:
        yield proxy


@pytest.fixture
def proxy(listening: BreakingProxy) -> BreakingProxy:
    """In front of it, with TLS; breaks what a test tells it to."""
    listening.instead = listening.after = None
    return listening


async def tried(proxy: BreakingProxy, row: str = "", **tokens: str) -> list[Outcome]:
    """The outcomes of the cases of one row, or of all."""
    cases = [case for case in CASES if row in {"", case.row}]
    trial = await run_trial(reach_of(proxy.port), URL, NOW, cases=cases, **tokens)
    assert trial.left == []
    return list(trial.outcomes)


def faults(outcomes: list[Outcome], status: str = "fail") -> dict[str, str]:
    return {f"{each.row} {each.sent}": each.found for each in outcomes if each.status == status}


# ------------------------------------------------------------------------------------------ a server that is well
async def test_a_server_of_ours_refuses_everything_and_keeps_nothing(
    proxy: BreakingProxy, process: ServerProcess
) -> None:
    outcomes = await tried(proxy)

    assert faults(outcomes) == {}
    # Without a token there is nothing to change; names are rebound on loopback only.
    assert {each.row for each in outcomes if each.status == "skip"} == {
        "--token",
        "RSV-3",
        "RSV-6",
        "RSV-13",
        "INT-7",
    }
    listed = run_command(process.folder, process.settings, "clients", "list", "--all", "--json")
    assert json.loads(listed.stdout) == []


async def test_with_a_token_more_is_tried(tmp_path: Path) -> None:
    with running_server(tmp_path, settings_on(f"sqlite+aiosqlite:///{tmp_path}/ostiary.db")) as server:
        async with flow.connections() as http, flow.new_browser() as browser:
            await flow.sign_in(browser, server)
            client = await flow.register(http, server)
            tokens = await flow.tokens_of(http, browser, server, client)
            assert await flow.works(http, server, tokens["access_token"])
        asked = run_command(
            tmp_path,
            {"SELFTEST_TOKEN": tokens["access_token"], "SELFTEST_FOREIGN_TOKEN": tokens["refresh_token"]},
            "selftest",
            server.resource,
            "--json",
        )

    told = json.loads(asked.stdout)
    assert (asked.returncode, told["failed"], told["left_behind"]) == (0, False, []), told
    assert {each["row"] for each in told["cases"] if each["status"] == "skip"} == {"HDR-6"}


# ------------------------------------------------------------------------------------- servers that are not well
@pytest.mark.parametrize(
    ("row", "break_it", "words"),
    [pytest.param(*wrong, id=f"{wrong[0]} ({number}): {wrong[2]}") for number, wrong in enumerate(WRONG)],
)
async def test_what_is_wrong_is_seen(proxy: BreakingProxy, row: str, break_it: Break, words: str) -> None:
    break_it(proxy)

    found = faults(await tried(proxy, row))
    assert any(words in text for text in found.values()), found


async def test_a_foreign_or_changed_token_that_is_taken_is_seen(proxy: BreakingProxy) -> None:
    instead("POST", "/mcp", answer_json(200), "Bearer ")(proxy)

    outcomes = await tried(proxy, token="a.b.c", foreign="d.e.f") + await tried(
        proxy, "RSV-3", token="opaque"
    )

    assert {each.row for each in outcomes if each.status == "fail"} >= {"RSV-3", "RSV-6", "INT-7"} - {"INT-7"}


async def test_a_token_that_is_not_valid_proves_nothing_and_is_told(proxy: BreakingProxy) -> None:
    [outcome] = await tried(proxy, "--token", token="not a token of anybody".replace(" ", "-"))

    assert (outcome.status, outcome.found) == ("fail", "status 401: is it valid, and for this endpoint?")


# ------------------------------------------------------------------------------------------- servers of others
async def test_of_a_server_of_others_is_tried_what_it_has() -> None:
    with running_troubled(certified("mcp.example")) as server:
        server.metadata = {"registration_endpoint": None}
        trial = await run_trial(reach_of(server.port), URL, NOW)

    skipped = {each.row: each.found for each in trial.outcomes if each.status == "skip"}
    assert skipped["REG-1"] == "There is no registration endpoint."
    assert skipped["AUZ-2"] == "No client could be registered."
    assert skipped["REV-1"] == "No client could be registered."
    assert skipped["INT-1"] == "There is no introspection endpoint."
    assert skipped["LGN-9"] == "There is no page at /login."
    assert skipped["ADM-1"] == "There is no page at /account."
    assert trial.failed


async def test_a_client_that_cannot_be_removed_is_told() -> None:
    with running_troubled(certified("mcp.example")) as server:
        server.instead["POST /register"] = said(201, client_id="stays")
        trial = await run_trial(reach_of(server.port), URL, NOW)

    assert set(trial.left) == {"stays"}


async def test_who_asks_for_a_sign_in_first_is_not_judged(proxy: BreakingProxy) -> None:
    instead("GET", AUTHORIZE, to("/login"), "response_type=token")(proxy)

    [outcome] = await tried(proxy, "AUZ-7")

    assert outcome.status == "skip"


async def test_an_error_that_goes_to_the_client_is_one(proxy: BreakingProxy) -> None:
    instead("GET", AUTHORIZE, to(f"{CALLBACK}?error=invalid_request"), "scope=")(proxy)

    [outcome] = await tried(proxy, "AUZ-12")

    assert outcome.status == "ok"


async def test_names_that_are_rebound_on_loopback_are_seen() -> None:
    with running_troubled() as server:
        server.origin = f"http://127.0.0.1:{server.port}"
        cases = [case for case in CASES if case.row == "RSV-13"]
        trial = await run_trial(reach_of(server.port), f"{server.origin}/mcp", NOW, cases=cases)

    assert [each.status for each in trial.outcomes] == ["fail"]


async def test_without_an_authorization_server_there_is_nothing_to_try(troubled: TroubledServer) -> None:
    troubled.resource = {"authorization_servers": []}
    with pytest.raises(NothingToTry, match="ostiary doctor"):
        await run_trial(reach_of(troubled.port), URL, NOW)


# --------------------------------------------------------------------------------------------- the command line
def test_the_command_prints_a_table_and_exits_with_one(tmp_path: Path) -> None:
    with running_troubled() as server:
        server.origin = f"http://127.0.0.1:{server.port}"
        server.instead["POST /register"] = said(201, client_id="stays")
        result = CommandLine({}, tmp_path).inside("selftest", f"{server.origin}/mcp")
        server.resource = {"authorization_servers": []}
        nowhere = CommandLine({}, tmp_path).inside("selftest", f"{server.origin}/mcp")

    assert result.code == 1
    assert "REG-5" in result.output
    assert "Clients that could not be removed: stays" in result.output
    assert (nowhere.code, nowhere.output) == (1, "")
    assert nowhere.error.count("\n") == 1
