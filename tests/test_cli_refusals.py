"""What the command line refuses: 1 and one sentence, or 2 for wrong usage; never a stack trace."""

from pathlib import Path

import pytest

from tests.command_line import CommandLine, assert_refused, command_line


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run away from any `.env`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(database_url: str, folder: Path) -> CommandLine:
    """The command line of a server on a fresh database that knows alice."""
    line = command_line(database_url, folder)
    assert line.inside("users", "create", "alice").code == 0
    return line


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        pytest.param(["users", "disable", "nobody"], "nobody", id="users-disable"),
        pytest.param(["users", "enable", "nobody"], "nobody", id="users-enable"),
        pytest.param(["users", "reset-password", "nobody"], "nobody", id="users-reset-password"),
        pytest.param(["clients", "show", "client_x"], "client_x", id="clients-show"),
        pytest.param(["clients", "disable", "client_x"], "client_x", id="clients-disable"),
        pytest.param(["clients", "enable", "client_x"], "client_x", id="clients-enable"),
        pytest.param(["clients", "delete", "client_x"], "client_x", id="clients-delete"),
        pytest.param(["grants", "revoke", "grant_x"], "grant_x", id="grants-revoke"),
        pytest.param(["grants", "list", "--user", "nobody"], "nobody", id="grants-list-user"),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_an_unknown_name_is_refused_in_one_sentence(
    cli: CommandLine, arguments: list[str], word: str, form: list[str]
) -> None:
    assert_refused(cli.inside(*arguments, *form), word)


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        pytest.param(["users", "create", "alice"], "", id="name-taken"),
        pytest.param(["users", "create", "ALICE"], "", id="name-taken-in-upper-case"),
        pytest.param(["users", "create", ""], "", id="no-name"),
        pytest.param(["users", "create", "bob", "--password-stdin"], "", id="no-password"),
        pytest.param(["users", "create", "bob", "--password-stdin"], "short\n", id="short-password"),
        pytest.param(["users", "reset-password", "alice", "--password-stdin"], "\n", id="reset-empty"),
        pytest.param(["users", "reset-password", "alice", "--password-stdin"], "abc\n", id="reset-short"),
    ],
)
def test_an_account_that_cannot_be_is_refused(cli: CommandLine, arguments: list[str], stdin: str) -> None:
    before = cli.inside("users", "list", "--json").data

    assert_refused(cli.inside(*arguments, stdin=stdin), "")

    assert cli.inside("users", "list", "--json").data == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["users", "nonsense"],
        ["users", "disable"],
        ["users", "disable", "a", "b"],
        ["users", "list", "--nonsense"],
        ["clients", "list", "--limit", "0"],
        ["clients", "list", "--limit", "many"],
        ["clients", "list", "--offset", "-1"],
        ["grants", "revoke"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_two(folder: Path, arguments: list[str]) -> None:
    result = command_line("sqlite+aiosqlite:///x.db", folder).inside(*arguments)

    assert (result.code, result.output) == (2, ""), result
    assert result.error


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"SECRET_KEY": "short"}, "SECRET_KEY", id="short-secret"),
        pytest.param({"PUBLIC_URL": "http://mcp.example"}, "PUBLIC_URL", id="http-off-loopback"),
        pytest.param({"PUBLIC_URL": "https://mcp.example", "SECRET_KEY": ""}, "SECRET_KEY", id="no-secret"),
        pytest.param({"PUBLIC_URL": "mcp.example"}, "PUBLIC_URL", id="no-scheme"),
        pytest.param({"DATABASE_URL": "mysql://localhost/x"}, "DATABASE_URL", id="other-database"),
        pytest.param({"PORT": "70000"}, "PORT", id="port"),
        pytest.param({"WORKERS": "x"}, "WORKERS", id="workers"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(folder: Path, changes: dict[str, str], word: str) -> None:
    line = command_line("sqlite+aiosqlite:///x.db", folder, **changes)

    assert_refused(line.inside("users", "list"), word)


@pytest.mark.parametrize(
    ("database_url", "word"),
    [
        pytest.param("sqlite+aiosqlite:///empty.db", "migrate", id="no-tables"),
        pytest.param("sqlite+aiosqlite:///no/such/folder.db", "database", id="no-folder"),
        pytest.param("postgresql://127.0.0.1:1/x", "database", id="no-postgresql"),
    ],
)
async def test_a_database_that_does_not_serve_is_refused_in_one_sentence(
    folder: Path, database_url: str, word: str
) -> None:
    """As a process, because what the log prints belongs to it."""
    assert_refused(await command_line(database_url, folder)("users", "list"), word)


async def test_migrate_makes_the_tables_and_may_be_repeated(folder: Path) -> None:
    run = command_line(f"sqlite+aiosqlite:///{folder}/new.db", folder)

    assert [(await run("migrate")).code for _ in range(2)] == [0, 0]

    created = await run("users", "create", "bob", "--password-stdin", "--json", stdin="a long password\n")
    assert created.data["username"] == "bob"
    assert "password" not in created.data


@pytest.mark.parametrize("group", ["", "users", "clients", "grants", "initial-access-tokens"])
def test_help_names_what_works(folder: Path, group: str) -> None:
    result = command_line("sqlite+aiosqlite:///x.db", folder).inside(*group.split(), "--help")

    assert result.code == 0
    expected = {
        "": {"serve", "migrate", "purge", "users", "clients", "grants", "initial-access-tokens"},
        "users": {"create", "list", "disable", "enable", "reset-password"},
        "clients": {"create", "list", "show", "rotate-secret", "disable", "enable", "delete"},
        "grants": {"list", "revoke"},
        "initial-access-tokens": {"create", "list", "revoke"},
    }[group]
    assert all(name in result.output for name in expected)
