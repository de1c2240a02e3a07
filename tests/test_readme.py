"""The README tells the truth: its queries run on both databases, its settings and commands are the real ones."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

from app.cli import cli
from app.hooks import load_hooks
from app.settings import Settings
from tests.support.world import World

README = (Path(__file__).parents[1] / "README.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)


def test_there_are_five_queries() -> None:
    assert len(QUERIES) == 5


async def test_every_query_finds_what_it_asks_for(world: World) -> None:
    client = await world.register(client_name="Reader")
    await world.tokens(client)
    await world.signed_in_browser()
    await world.http.post("/oauth/token", data={"grant_type": "authorization_code", "client_id": "unknown"})
    await world.register(client_name="Never used")

    answers = [await world.rows(query.strip().removesuffix(";")) for query in QUERIES]

    registered, grants, refusals, sessions, unused = answers
    assert {row["client_name"] for row in registered} == {"Reader", "Never used"}
    assert [(row["username"], row["client_name"], row["state"]) for row in grants] == [
        ("alice", "Reader", "live")
    ]
    assert [row["outcome"] for row in refusals] == ["invalid_client"]
    assert {row["username"] for row in sessions} == {"alice"}
    assert [(row["client_name"], row["registrations"]) for row in unused] == [("Never used", 1)]


def test_every_setting_is_documented() -> None:
    missing = [name.upper() for name in Settings.model_fields if f"`{name.upper()}`" not in README]
    assert missing == []


@pytest.mark.parametrize("group", ["users", "clients", "grants", "keys", "initial-access-tokens"])
def test_every_command_is_documented(group: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{group} "))
    commands = get_command(cli).commands[group].commands  # type: ignore[attr-defined]
    assert [name for name in commands if f"{name}" not in row] == []


def test_every_command_without_a_group_is_documented() -> None:
    commands = get_command(cli).commands  # type: ignore[attr-defined]
    rows = "".join(line.split(" | ")[0] for line in README.splitlines() if line.startswith("| `"))
    assert [name for name in commands if f"`{name}" not in rows] == []


def test_the_hooks_of_the_readme_are_hooks() -> None:
    """The operator's module as it stands there is loaded as one."""
    [code] = [
        block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "on_token_issue" in block
    ]
    module = ModuleType("readme_hooks")
    exec(code, vars(module))  # noqa: S102 - our own text
    sys.modules["readme_hooks"] = module
    try:
        loaded = load_hooks("readme_hooks")
    finally:
        del sys.modules["readme_hooks"]
    assert all(getattr(loaded, name) for name in loaded.NAMES)
