"""Operators' commands beside a running server: real processes, whose effect the server feels within a second."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests import back_channel
from tests.command_line import CommandLine, command_line
from tests.support.world import PASSWORD, World
from tests.test_access_tokens import segments

NEW_PASSWORD = "quite another passphrase"


@pytest.fixture
def live(world: World) -> World:
    """The world in real time, because the commands read the real clock."""
    world.clock.advance(seconds=(datetime.now(UTC) - world.clock.now()).total_seconds())
    return world


@pytest.fixture
def cli(world: World, tmp_path: Path) -> CommandLine:
    """The command line of the running server."""
    return command_line(world.settings.database_url, tmp_path)


async def refuses_within_a_second(world: World, access_token: str) -> bool:
    """Whether the running server comes to refuse the token, one second after the command at the latest."""
    with anyio.move_on_after(1):
        while (await world.call(access_token)).status_code == 200:
            await anyio.lowlevel.checkpoint()
    return (await world.call(access_token)).status_code == 401


# ------------------------------------------------------------------------------- what reaches the server
async def test_disabling_a_user_reaches_the_running_server(live: World, cli: CommandLine) -> None:
    client = await live.register()
    tokens = await live.tokens(client)
    browser = await live.signed_in_browser()

    shown = (await cli("users", "disable", "alice", "--json")).data

    assert shown["username"] == "alice"
    assert shown["disabled_at"] is not None
    assert await refuses_within_a_second(live, tokens["access_token"])
    refresh = await live.refresh(client, tokens["refresh_token"])
    back_channel.assert_error(refresh, 400, "invalid_grant")
    assert (await live.authorize(browser, client)).headers["location"].startswith("/login")
    assert (await live.sign_in(live.browser())).status_code != 303


async def test_an_enabled_user_signs_in_again_and_approves_anew(live: World, cli: CommandLine) -> None:
    client = await live.register()
    tokens = await live.tokens(client)
    assert (await cli("users", "disable", "alice")).code == 0

    shown = (await cli("users", "enable", "alice", "--json")).data

    assert shown["disabled_at"] is None
    assert await refuses_within_a_second(live, tokens["access_token"])
    again = await live.tokens(client)
    assert (await live.call(again["access_token"])).status_code == 200


@pytest.mark.parametrize("revoking", [True, False])
async def test_resetting_a_password_signs_out_and_disconnects_if_asked(
    live: World, cli: CommandLine, revoking: bool
) -> None:
    client = await live.register()
    tokens = await live.tokens(client)
    browser = await live.signed_in_browser()
    more = ["--revoke-grants"] if revoking else []

    result = await cli(
        "users", "reset-password", "alice", "--password-stdin", "--json", *more, stdin=NEW_PASSWORD + "\n"
    )

    assert NEW_PASSWORD not in result.output + result.error
    assert "password" not in result.data
    assert (await live.authorize(browser, client)).headers["location"].startswith("/login")
    assert (await live.sign_in(live.browser(), password=PASSWORD)).status_code != 303
    assert (await live.sign_in(live.browser(), password=NEW_PASSWORD)).status_code == 303
    if revoking:
        assert await refuses_within_a_second(live, tokens["access_token"])
    else:
        assert (await live.call(tokens["access_token"])).status_code == 200
    refreshed = await live.refresh(client, tokens["refresh_token"])
    assert refreshed.status_code == (400 if revoking else 200)


async def test_adm_7_disabling_a_client_reaches_the_running_server(live: World, cli: CommandLine) -> None:
    client = await live.register()
    tokens = await live.tokens(client)

    shown = (await cli("clients", "disable", client["client_id"], "--json")).data

    assert shown["client_id"] == client["client_id"]
    assert shown["disabled_at"] is not None
    assert await refuses_within_a_second(live, tokens["access_token"])
    back_channel.assert_error(await live.refresh(client, tokens["refresh_token"]), 401, "invalid_client")
    page = await live.authorize(await live.signed_in_browser(), client)
    assert (page.status_code, "location" in page.headers) == (400, False)

    assert (await cli("clients", "enable", client["client_id"], "--json")).data["disabled_at"] is None
    again = await live.tokens(client)
    assert (await live.call(again["access_token"])).status_code == 200
    assert (await live.call(tokens["access_token"])).status_code == 401


async def test_deleting_a_client_reaches_the_running_server(live: World, cli: CommandLine) -> None:
    client, neighbour = await live.register(), await live.register(client_name="Neighbour")
    tokens, others = await live.tokens(client), await live.tokens(neighbour)

    assert (await cli("clients", "delete", client["client_id"], "--json")).code == 0

    assert await refuses_within_a_second(live, tokens["access_token"])
    back_channel.assert_error(await live.refresh(client, tokens["refresh_token"]), 401, "invalid_client")
    assert (await live.call(others["access_token"])).status_code == 200
    listed = (await cli("clients", "list", "--json")).data
    assert [row["client_id"] for row in listed] == [neighbour["client_id"]]
    audited = await live.rows("SELECT * FROM audit_events WHERE client_id = :id", id=client["client_id"])
    assert audited, "the record outlives the client"


async def test_revoking_a_grant_reaches_the_running_server(live: World, cli: CommandLine) -> None:
    client = await live.register()
    tokens, kept = await live.tokens(client), await live.tokens(client)
    grants = (await cli("grants", "list", "--user", "alice", "--json")).data
    assert {(grant["username"], grant["client_id"], grant["state"]) for grant in grants} == {
        ("alice", client["client_id"], "live")
    }
    first = (await live.rows("SELECT id FROM grants ORDER BY created_at, id"))[0]["id"]
    whose = tokens if _grant_of(tokens) == first else kept
    other = kept if whose is tokens else tokens

    shown = (await cli("grants", "revoke", first, "--json")).data

    assert (shown["id"], shown["state"]) == (first, "revoked")
    assert await refuses_within_a_second(live, whose["access_token"])
    back_channel.assert_error(await live.refresh(client, whose["refresh_token"]), 400, "invalid_grant")
    assert (await live.call(other["access_token"])).status_code == 200


def _grant_of(tokens: dict[str, Any]) -> str:
    grant: str = segments(tokens["access_token"])[1]["grant_id"]
    return grant
