"""`ostiary audit`: the record at a terminal."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.audit import Origin, record
from tests.command_line import CommandLine, command_line
from tests.support.world import World


@pytest.fixture
async def cli(world: World, tmp_path: Path) -> CommandLine:
    """On a record of three days: a registration each, and one refusal on the second."""
    noon = world.clock.now().replace(hour=12, minute=0, second=0, microsecond=0)
    async with world.database.transaction() as tx:
        for day in range(3):
            origin = Origin(noon + timedelta(days=day), f"192.0.2.{day}")
            await record(tx, "client.registered", origin, client_id=f"client_{day}", reference="7F3K-2Q9D")
        refused = Origin(noon + timedelta(days=1), "192.0.2.9")
        await record(
            tx, "token.refused", refused, outcome="invalid_grant", reason="code_spent", grant_id="grant_1"
        )
    return command_line(world.settings.database_url, tmp_path)


async def found(cli: CommandLine, *options: str) -> list[str]:
    """The sources of what is found, without what the fixtures left."""
    rows: list[dict[str, Any]] = (await cli.quickly("audit", *options, "--json")).data
    return [row["source"] for row in rows if (row["source"] or "").startswith("192.0.2.")]


def day(world: World, number: int) -> str:
    """As an operator types it."""
    return f"{world.clock.now() + timedelta(days=number):%Y-%m-%d}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param([], ["192.0.2.2", "192.0.2.9", "192.0.2.1", "192.0.2.0"], id="everything"),
        pytest.param(["--refused"], ["192.0.2.9"], id="refused"),
        pytest.param(["--event", "token.refused"], ["192.0.2.9"], id="event"),
        pytest.param(["--client", "client_1"], ["192.0.2.1"], id="client"),
        pytest.param(["--grant", "grant_1"], ["192.0.2.9"], id="grant"),
        pytest.param(["--source", "192.0.2.0"], ["192.0.2.0"], id="source"),
        pytest.param(["--reference", "7f3k-2q9d"], ["192.0.2.2", "192.0.2.1", "192.0.2.0"], id="reference"),
        pytest.param(["--user", "nobody"], [], id="a person who is unknown"),
        pytest.param(["--limit", "1"], ["192.0.2.2"], id="limit"),
    ],
)
async def test_the_record_is_narrowed(cli: CommandLine, options: list[str], expected: list[str]) -> None:
    assert await found(cli, *options) == expected


async def test_both_days_that_are_named_belong_to_it(world: World, cli: CommandLine) -> None:
    second = day(world, 1)
    assert await found(cli, "--since", second, "--until", second) == ["192.0.2.9", "192.0.2.1"]
    assert await found(cli, "--until", day(world, 0)) == ["192.0.2.0"]
    assert len(await found(cli, "--since", "0001-01-01", "--until", "9999-12-31")) == 4


async def test_a_day_that_is_none_is_refused(cli: CommandLine) -> None:
    result = await cli.quickly("audit", "--since", "yesterday")
    assert result.code == 2
    assert "yesterday" in result.error


async def test_it_is_a_table_for_people(cli: CommandLine) -> None:
    result = await cli("audit", "--refused")
    assert result.code == 0, result.error
    assert "invalid_grant" in result.output
