"""The documentation tells the truth: it builds without a warning, its links lead somewhere, and every command in it,
every query, program and setting is carried out on a real installation. So are those of the README."""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from pydantic_settings import SettingsConfigDict

from app.routers.pages.info import _clients
from app.settings import Settings
from tests.processes import flow
from tests.support.pages import (
    DOCS,
    OURS,
    Block,
    Installation,
    blocks_of,
    installation,
    known_settings,
    pages,
    populate,
    settings_named_in,
)
from tests.support.postgres import PostgresServer
from tests.support.process import ROOT

PAGES = pages()
IDS = [page.stem for page in PAGES]
# Everything that a block may be; what no test looks at is `text`.
LANGUAGES = {"sh", "sql", "python", "env", "json", "text"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make docs` builds them; a warning is an error."""
    folder = tmp_path_factory.mktemp("docs")
    answer = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "html", "-d", str(folder / "doctrees"),
         str(DOCS), str(folder / "html")],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder / "html"


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if tag in {"a", "link"} and name == "href" and value:
                self.links.append(value)


def test_every_link_leads_somewhere(built: Path) -> None:
    found = {path: _Page(path.read_text()) for path in built.glob("*.html")}
    broken = []
    for path, page in found.items():
        for link in page.links:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target, anchor = urldefrag(link)
            there = path.parent / unquote(urlsplit(target).path) if target else path
            if not there.exists() or (there in found and unquote(anchor) not in found[there].anchors):
                broken.append(f"{path.name}: {link}")
    assert len(found) > len(PAGES)
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    """Whoever reads the pages tells nobody, and needs no network."""
    loaded = [
        f"{path.name}: {found}"
        for path in built.glob("*.html")
        for found in re.findall(
            r"""<(?:script|link|img)[^>]*(?:src|href)=["'](https?:[^"']+)""", path.read_text()
        )
    ]
    assert loaded == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    folders = "app|bench|deploy|docs|interop|migrations|templates|tests"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_block_is_of_a_kind_that_is_looked_at(page: Path) -> None:
    assert [block.place for block in blocks_of(page) if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_settings_are_taken(page: Path, tmp_path: Path) -> None:
    for block in filter(lambda block: block.is_environment, blocks_of(page)):
        file = tmp_path / ".env"
        file.write_text(block.text)
        assert settings_named_in(block.text) <= known_settings(), block.place
        assert settings_named_in(block.text), block.place

        class _OfThisBlock(Settings):
            model_config = SettingsConfigDict(env_file=file)

        _OfThisBlock()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_json_is_json(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "json":
            json.loads(block.text)


# ------------------------------------------------------------------------ what is carried out


def _make_target(words: list[str], page: Path) -> None:
    """It would install, or serve until it is ended; the targets have tests of their own."""
    assert re.search(rf"^{re.escape(words[1])}:", (ROOT / "Makefile").read_text(), re.M)


def _same_as_on_the_first_page(words: list[str], page: Path) -> None:
    """A client of somebody else: the page must say what the server's own page says."""
    shown = [
        shlex.split(step["code"])
        for site in OURS
        for client in _clients("ostiary", f"{site}/mcp", loopback=False)
        for step in client["steps"]
        if step["code"]
    ]
    assert sorted(words) in [sorted(each) for each in shown]


def _serves(words: list[str], page: Path) -> None:
    """It would serve until it is ended; the page itself has the module."""
    module, _, attribute = words[1].partition(":")
    [code] = [block.text for block in blocks_of(page) if block.text.startswith(f"# {module}.py\n")]
    assert re.search(rf"^{attribute} = ", code, re.M)


def _files_are_there(words: list[str], page: Path) -> None:
    """No engine, cluster or service manager here. The files are proved by tests of their own."""
    named = [word for word in words if word.startswith("deploy/")]
    assert named
    assert all((ROOT / name).exists() for name in named)


def _is_our_service(words: list[str], page: Path) -> None:
    """No service manager runs here; the unit of that name is ours."""
    assert (ROOT / f"deploy/systemd/{words[-1]}.service").is_file()


# What is not carried out here, and how it is looked at instead.
NOT_CARRIED_OUT: dict[str, Callable[[list[str], Path], None]] = {
    "make": _make_target,
    "npx": _same_as_on_the_first_page,
    "claude": _same_as_on_the_first_page,
    "code": _same_as_on_the_first_page,
    "uvicorn": _serves,
    "docker": _files_are_there,
    "kubectl": _files_are_there,
    "systemctl": _is_our_service,
}
CARRIED_OUT = [
    page
    for page in PAGES
    if any(
        block.language in {"sh", "sql", "python"} and not block.is_environment for block in blocks_of(page)
    )
]


@pytest.fixture
def here(tmp_path: Path, postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Installation]:
    name = request.node.callspec.id.replace("-", "_").lower()
    yield from installation(tmp_path, postgres, f"docs_{name}")


@pytest.mark.postgresql
@pytest.mark.parametrize("page", CARRIED_OUT, ids=[page.stem for page in CARRIED_OUT])
async def test_what_a_page_says_can_be_done(page: Path, here: Installation) -> None:
    """From top to bottom, as a reader would: settings are kept, programs written, commands and queries carried out."""
    await populate(here)
    for block in blocks_of(page):
        if block.is_environment:
            answer = await asyncio.to_thread(here.keep_settings, block.text)
            assert answer.returncode == 0, f"{block.place}\n{answer.stderr}"
        elif block.language == "sh":
            await asyncio.to_thread(_carry_out, here, block)
        elif block.language == "sql":
            async with flow.sql(here.settings["DATABASE_URL"]) as connection:
                await connection.execute(block.text)
        elif block.language == "python":
            answer = await asyncio.to_thread(here.python, block)
            assert answer.returncode == 0, f"{block.place}\n{answer.stderr}"


def _carry_out(here: Installation, block: Block) -> None:
    for command in block.commands:
        words = shlex.split(command, comments=True)
        while re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        if words[0] in NOT_CARRIED_OUT:
            NOT_CARRIED_OUT[words[0]](words, block.page)
            continue
        for program in ("curl", "sqlite3"):
            if program in words and shutil.which(program) is None:
                pytest.skip(f"{program} is not installed, and {block.place} needs it")
        if words[0] == "sqlite3":
            here.make_sqlite()
        code, printed = here.carry_out(command)
        assert code == 0, f"{block.place}: {command}\n{printed}"


def test_what_is_not_carried_out_is_somewhere_on_the_pages() -> None:
    """The list of exceptions holds nothing that is not needed."""
    used = {
        word
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "sh"
        for word in block.text.split()
    }
    assert set(NOT_CARRIED_OUT) <= used
