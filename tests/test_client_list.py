"""`ostiary clients list` and `initial-access-tokens`: what operators see of who registered."""

from pathlib import Path
from typing import Any

import pytest

from tests.back_channel import disable_client
from tests.command_line import CommandLine, assert_refused, command_line
from tests.front_channel import change
from tests.support.world import World

LOOPBACK = "http://127.0.0.1:{}/callback"


@pytest.fixture
def cli(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line of the running server, away from any `.env`."""
    monkeypatch.chdir(tmp_path)
    return command_line(world.settings.database_url, tmp_path)


async def listed(cli: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    """What `clients list` tells."""
    rows: list[dict[str, Any]] = (await cli.quickly("clients", "list", "--json", *arguments)).data
    return rows


# ------------------------------------------------------------------------------------------ registrations alike
async def test_registrations_that_say_the_same_stand_in_one_line(world: World, cli: CommandLine) -> None:
    """The same app on each connect, with a port of its own each time, as the pain in the field is."""
    for port in range(4000, 4005):
        world.clock.advance(minutes=1)
        newest = await world.register(client_name="Claude", redirect_uris=[LOOPBACK.format(port)])
    used = await world.register(client_name="Claude", redirect_uris=[LOOPBACK.format(1)])
    await world.tokens(used, redirect_uri=LOOPBACK.format(1))
    world.clock.advance(minutes=1)
    latest = await world.register(client_name="Claude", redirect_uris=[LOOPBACK.format(2)])
    world.clock.advance(minutes=1)
    other = await world.register(client_name="Cursor")

    rows = await listed(cli)

    assert [(row["client_id"], row["registrations"]) for row in rows] == [
        (other["client_id"], 1),
        (latest["client_id"], 7),
    ]
    # One of them is in use, which is what counts.
    assert rows[1]["last_used_at"] is not None
    assert [row["registrations"] for row in await listed(cli, "--never-used", "--name", "claude")] == [6]
    everyone = await listed(cli, "--all")
    assert len(everyone) == 8
    assert "registrations" not in everyone[0]
    assert newest["client_id"] in {row["client_id"] for row in everyone}


@pytest.mark.parametrize(
    "changes",
    [
        {"client_name": "Other"},
        {"redirect_uris": ["http://127.0.0.1:4000/other"]},
        {"redirect_uris": ["http://localhost:4000/callback"]},
        {"redirect_uris": ["https://app.example:4000/callback"]},
        {"grant_types": ["authorization_code"]},
        {"token_endpoint_auth_method": "client_secret_post"},
        {"scope": "mcp"},
        {"client_uri": "https://app.example/"},
    ],
    ids=str,
)
async def test_registrations_that_say_something_else_stand_apart(
    world: World, cli: CommandLine, changes: dict[str, Any]
) -> None:
    await world.register(client_name="App", redirect_uris=[LOOPBACK.format(4000)])
    await world.register(**{"client_name": "App", "redirect_uris": [LOOPBACK.format(4001)], **changes})
    assert [row["registrations"] for row in await listed(cli)] == [1, 1]


async def test_the_order_of_what_is_said_does_not_matter(world: World, cli: CommandLine) -> None:
    uris = ["https://app.example/a", "https://app.example/b"]
    for reverse in (False, True):
        types = sorted(["authorization_code", "refresh_token"], reverse=reverse)
        await world.register(redirect_uris=sorted(uris, reverse=reverse), grant_types=types)
    assert [row["registrations"] for row in await listed(cli)] == [2]


async def test_clients_that_did_not_register_themselves_stand_alone(world: World, cli: CommandLine) -> None:
    for _ in range(3):
        await world.register()
    await change(world, "UPDATE clients SET fingerprint = NULL, registration = 'manual'")
    assert [row["registrations"] for row in await listed(cli)] == [1, 1, 1]
    assert len(await listed(cli, "--registration", "manual")) == 3
    assert await listed(cli, "--registration", "dynamic") == []


async def test_the_list_is_cut_by_lines_and_not_by_clients(world: World, cli: CommandLine) -> None:
    for name in ("a", "b", "c"):
        world.clock.advance(minutes=1)
        for _ in range(3):
            await world.register(client_name=name)
    pages = [await listed(cli, "--limit", "2", "--offset", str(offset)) for offset in (0, 2)]
    assert [[row["client_name"] for row in page] for page in pages] == [["c", "b"], ["a"]]


async def test_only_some_are_listed_when_that_is_asked_for(world: World, cli: CommandLine) -> None:
    plain, barred = await world.register(client_name="100% Plain"), await world.register(client_name="Barred")
    await disable_client(world, barred)
    assert [row["client_id"] for row in await listed(cli, "--disabled")] == [barred["client_id"]]
    for arguments in (["--name", "100% p"], ["--name", "%", "--all"]):
        assert [row["client_id"] for row in await listed(cli, *arguments)] == [plain["client_id"]]
    assert await listed(cli, "--name", "_") == []


async def test_people_read_it_as_a_table(world: World, cli: CommandLine) -> None:
    await world.register(client_name="Claude")
    await world.register(client_name="Claude")
    table = (await cli.quickly("clients", "list")).output
    assert "registrations" in table
    assert table.count("Claude") == 1
    assert (await cli.quickly("clients", "list", "--all")).output.count("Claude") == 2


# ------------------------------------------------------------------------------------------ initial access tokens
async def test_an_initial_access_token_is_shown_once(world: World, cli: CommandLine) -> None:
    made = (
        await cli.quickly(
            "initial-access-tokens",
            "create",
            "--label",
            "Partners",
            "--uses",
            "2",
            "--expires-days",
            "7",
            "--json",
        )
    ).data
    assert made["token"].startswith("ost_initial_")
    assert (made["label"], made["uses_left"], made["state"]) == ("Partners", 2, "good")
    listed_ = await cli.quickly("initial-access-tokens", "list", "--json")
    assert made["token"] not in listed_.output
    assert [row["id"] for row in listed_.data] == [made["id"]]
    assert made["token"] not in str(await world.rows("SELECT * FROM initial_access_tokens"))
    assert made["token"] not in str(await world.rows("SELECT * FROM audit_events"))

    body = {"redirect_uris": ["https://app.example/cb"]}
    world.clock.advance(days=-3)  # the command read the real clock, which is past the server's
    header = {"authorization": f"Bearer {made['token']}"}
    statuses = [
        (await world.http.post("/oauth/register", json=body, headers=header)).status_code for _ in range(3)
    ]
    assert statuses == [201, 201, 401]
    assert "used up" in (await cli.quickly("initial-access-tokens", "list")).output
    client = (await listed(cli))[0]["client_id"]
    assert (await cli.quickly("clients", "show", client, "--json")).data["registered_with"] == made["id"]


async def test_an_initial_access_token_without_limits_works_until_it_is_revoked(
    world: World, cli: CommandLine
) -> None:
    made = (await cli.quickly("initial-access-tokens", "create", "--json")).data
    assert (made["uses_left"], made["expires_at"], made["label"]) == (None, None, None)
    revoked = (await cli.quickly("initial-access-tokens", "revoke", made["id"], "--json")).data
    assert (revoked["id"], revoked["state"]) == (made["id"], "revoked")
    again = (await cli.quickly("initial-access-tokens", "revoke", made["id"], "--json")).data
    assert again["revoked_at"] == revoked["revoked_at"]
    events = await world.rows("SELECT event FROM audit_events WHERE event LIKE 'initial%' ORDER BY id")
    assert [row["event"] for row in events] == [
        "initial_access_token.created",
        "initial_access_token.revoked",
    ]


async def test_the_state_of_an_initial_access_token_is_told(world: World, cli: CommandLine) -> None:
    made = (await cli.quickly("initial-access-tokens", "create", "--expires-days", "1", "--json")).data
    await change(world, "UPDATE initial_access_tokens SET expires_at = created_at")
    rows = (await cli.quickly("initial-access-tokens", "list", "--json")).data
    assert [(row["id"], row["state"]) for row in rows] == [(made["id"], "expired")]


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
async def test_an_unknown_initial_access_token_is_refused_in_one_sentence(
    cli: CommandLine, form: list[str]
) -> None:
    assert_refused(await cli.quickly("initial-access-tokens", "revoke", "initial_x", *form), "initial_x")


@pytest.mark.parametrize(
    "arguments", [["--uses", "0"], ["--uses", "x"], ["--expires-days", "-1"]], ids=" ".join
)
async def test_a_token_that_could_never_work_is_not_made(cli: CommandLine, arguments: list[str]) -> None:
    assert (await cli.quickly("initial-access-tokens", "create", *arguments)).code == 2
