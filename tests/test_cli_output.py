"""What commands print: JSON for programs, tables for people, secrets once or never."""

from pathlib import Path

import pytest

from tests.command_line import CommandLine, command_line
from tests.support.world import World


@pytest.fixture
def cli(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line of the running server, away from any `.env`."""
    monkeypatch.chdir(tmp_path)
    return command_line(world.settings.database_url, tmp_path)


async def test_a_reset_without_a_password_prints_a_new_one_once(world: World, cli: CommandLine) -> None:
    printed = (await cli.quickly("users", "reset-password", "alice", "--json")).data["password"]

    assert len(printed) >= 16
    assert (await world.sign_in(world.browser(), password=printed)).status_code == 303
    assert printed not in (await cli.quickly("users", "list", "--json")).output


async def test_a_user_is_created_and_listed(world: World, cli: CommandLine) -> None:
    created = await cli.quickly(
        "users", "create", "bob", "--name", "Bob B.", "--email", "bob@example.com", "--admin", "--json"
    )

    password = created.data["password"]
    assert (created.data["username"], created.data["is_admin"]) == ("bob", True)
    listed = await cli.quickly("users", "list", "--json")
    assert {row["username"] for row in listed.data} == {"alice", "bob"}
    assert password not in listed.output
    assert "argon2" not in listed.output
    assert (await world.sign_in(world.browser(), "bob", password)).status_code == 303


async def test_tables_are_for_people(world: World, cli: CommandLine) -> None:
    client = await world.register(client_name="[bold]Evil[/bold]")
    await world.tokens(client)

    users, clients = await cli.quickly("users", "list"), await cli.quickly("clients", "list")
    shown, grants = (
        await cli.quickly("clients", "show", client["client_id"]),
        await cli.quickly("grants", "list"),
    )

    assert (users.code, clients.code, shown.code, grants.code) == (0, 0, 0, 0)
    assert "alice" in users.output
    assert client["client_id"] in clients.output
    assert "[bold]Evil[/bold]" in clients.output
    assert client["client_id"] in shown.output
    assert "alice" in grants.output
    assert users.error + clients.error + shown.error + grants.error == ""


async def test_a_client_is_shown_with_what_it_was_allowed_and_without_its_secret(
    world: World, cli: CommandLine
) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    await world.tokens(client)

    shown = await cli.quickly("clients", "show", client["client_id"], "--json")

    assert shown.data["redirect_uris"] == client["redirect_uris"]
    assert shown.data["token_endpoint_auth_method"] == "client_secret_post"
    assert [grant["state"] for grant in shown.data["grants"]] == ["live"]
    assert client["client_secret"] not in shown.output
    stored = (await world.rows("SELECT secret_hash FROM clients"))[0]["secret_hash"]
    assert stored not in shown.output


@pytest.mark.parametrize("option", ["--limit", "--offset"])
async def test_lists_come_in_pages(world: World, cli: CommandLine, option: str) -> None:
    for name in ("One", "Two", "Three"):
        await world.register(client_name=name)
        world.clock.advance(seconds=1)

    listed = (await cli.quickly("clients", "list", option, "2", "--json")).data

    names = [row["client_name"] for row in listed]
    assert names == (["Three", "Two"] if option == "--limit" else ["One"])
