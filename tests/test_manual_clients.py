"""`ostiary clients create` and `rotate-secret`: clients that the operator makes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import back_channel
from tests.command_line import CommandLine, assert_refused, command_line
from tests.front_channel import change
from tests.support.signing import SigningClient
from tests.support.world import REDIRECT_URI, World


@pytest.fixture
def cli(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line of the running server, away from any `.env`."""
    monkeypatch.chdir(tmp_path)
    return command_line(world.settings.database_url, tmp_path)


async def created(cli: CommandLine, *arguments: str) -> dict[str, Any]:
    """What `clients create` tells."""
    made: dict[str, Any] = (await cli.quickly("clients", "create", *arguments, "--json")).data
    return made


async def test_a_client_with_a_secret_is_made_and_works(world: World, cli: CommandLine) -> None:
    client = await created(
        cli, "Partner", "--redirect-uri", REDIRECT_URI, "--auth-method", "client_secret_post"
    )

    assert client["client_secret"].startswith("ost_secret_")
    assert client["grant_types"] == ["authorization_code", "refresh_token"]
    assert "registration_access_token" not in client
    assert (await world.tokens(client))["refresh_token"]
    stored = await world.rows("SELECT * FROM clients")
    assert stored[0]["registration"] == "manual"
    assert client["client_secret"] not in str(stored)
    shown = await cli.quickly("clients", "show", client["client_id"])
    assert client["client_secret"] not in shown.output
    events = await world.rows("SELECT event, source FROM audit_events WHERE event = 'client.created'")
    assert events == [{"event": "client.created", "source": "cli"}]


async def test_a_public_client_is_made_without_a_secret(world: World, cli: CommandLine) -> None:
    client = await created(
        cli, "App", "--redirect-uri", REDIRECT_URI, "--auth-method", "none", "--scope", "mcp unknown"
    )
    assert "client_secret" not in client
    assert client["scope"] == "mcp"
    assert (await world.tokens(client))["access_token"]


async def test_the_secret_stands_in_the_table_for_people_too(cli: CommandLine) -> None:
    table = (await cli.quickly("clients", "create", "App", "--redirect-uri", REDIRECT_URI)).output
    assert "ost_secret_" in table


async def test_a_client_may_look_after_a_resource(world: World, cli: CommandLine) -> None:
    resource = world.settings.resource
    client = await created(
        cli, "Server", "--redirect-uri", REDIRECT_URI, "--introspects", resource + "/",
        *("--auth-method", "client_secret_post"),
    )  # fmt: skip
    shown = (await cli.quickly("clients", "show", client["client_id"], "--json")).data
    assert shown["introspects"] == [resource]
    tokens = await world.tokens(await world.register())
    form = {
        "token": tokens["access_token"],
        "client_id": client["client_id"],
        "client_secret": client["client_secret"],
    }
    assert (await world.http.post("/oauth/introspect", data=form)).json()["active"] is True


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        pytest.param(["App", "--redirect-uri", "http://evil.example/cb"], "https", id="REG-4"),
        pytest.param(["App", "--redirect-uri", "javascript:alert(1)"], "scheme", id="REG-5"),
        pytest.param(
            ["App", "--redirect-uri", REDIRECT_URI, "--grant-type", "password"], "grant_types", id="REG-10"
        ),
        pytest.param(
            ["App", "--redirect-uri", REDIRECT_URI, "--auth-method", "magic"], "auth_method", id="REG-12"
        ),
        pytest.param(["x\u202e", "--redirect-uri", REDIRECT_URI], "client_name", id="REG-15"),
        pytest.param(
            ["App", "--redirect-uri", REDIRECT_URI, "--introspects", "https://other.example/mcp"],
            "resource",
            id="other-resource",
        ),
    ],
)
async def test_what_registration_refuses_is_refused_here_too(
    world: World, cli: CommandLine, arguments: list[str], word: str
) -> None:
    assert_refused(await cli.quickly("clients", "create", *arguments), word)
    assert (await world.counts())["clients"] == 0


async def test_a_client_that_nobody_is_redirected_to_acts_for_itself(world: World, cli: CommandLine) -> None:
    client = await created(cli, "Robot", "--auth-method", "client_secret_post")
    assert (client["grant_types"], client["redirect_uris"]) == (["client_credentials"], [])
    form = {
        "grant_type": "client_credentials",
        "client_id": client["client_id"],
        "client_secret": client["client_secret"],
    }
    answer = await world.http.post("/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    assert (await world.rows("SELECT last_used_at FROM clients"))[0]["last_used_at"] is not None


async def test_a_client_that_signs_is_made_with_its_keys(
    world: World, cli: CommandLine, tmp_path: Path
) -> None:
    signer = SigningClient()
    (tmp_path / "keys.json").write_text(json.dumps(signer.jwks))
    client = await created(cli, "Robot", "--auth-method", "private_key_jwt", "--jwks", "keys.json")
    assert "client_secret" not in client
    signer.client_id = client["client_id"]
    form = {"grant_type": "client_credentials", **signer.proof(world)}
    assert (await world.http.post("/oauth/token", data=form)).status_code == 200


async def test_a_file_with_keys_must_be_json(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("no json")
    result = await cli.quickly("clients", "create", "App", "--jwks", "keys.json")
    assert_refused(result, "keys.json")
    assert (await cli.quickly("clients", "create", "App", "--jwks", "missing.json")).code == 2


# ------------------------------------------------------------------------------------------ another secret
@pytest.mark.parametrize("manual", [True, False])
async def test_a_client_gets_another_secret_and_the_old_one_dies(
    world: World, cli: CommandLine, manual: bool
) -> None:
    if manual:
        old = await created(cli, "App", "--redirect-uri", REDIRECT_URI, "--auth-method", "client_secret_post")
    else:
        old = await world.register(token_endpoint_auth_method="client_secret_post")
    tokens = await world.tokens(old)

    changed = (await cli.quickly("clients", "rotate-secret", old["client_id"], "--json")).data

    assert changed["client_secret"] != old["client_secret"]
    refused = await world.refresh(old, tokens["refresh_token"], client_secret=old["client_secret"])
    back_channel.assert_error(refused, 401, "invalid_client")
    answer = await world.refresh(old, tokens["refresh_token"], client_secret=changed["client_secret"])
    assert answer.status_code == 200


async def test_a_client_without_a_secret_gets_none(world: World, cli: CommandLine) -> None:
    client = await world.register()
    assert_refused(await cli.quickly("clients", "rotate-secret", client["client_id"]), "secret")
    assert_refused(await cli.quickly("clients", "rotate-secret", "client_x"), "client_x")
    await change(world, "DELETE FROM clients")
    assert json.loads((await cli.quickly("clients", "list", "--json")).output) == []
