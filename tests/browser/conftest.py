"""One Chromium, one server process and the apps' listeners for the whole run; a new profile for each test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.listeners import Listener, listening
from tests.browser.visitor import REPORT_VIOLATIONS, Site, Visitor
from tests.mail_server import MailBox, running_mail_server
from tests.support.browser import LAUNCH_ARGUMENTS, find_browser
from tests.support.process import running_server, settings_on
from tests.support.self_signed import self_signed

HOSTS = ("claude.ai", "app.example", "onward.example")
MILLISECONDS = 15_000
Visit = Callable[..., Awaitable[Visitor]]


@dataclass(frozen=True)
class Apps:
    """Where apps wait: on this computer, and on the web (all hosts on one listener)."""

    local: Listener
    web: Listener


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The browser; without one, these tests are left out and say why."""
    found = find_browser()
    if found.path is None:
        pytest.skip(found.reason)
    return found.path


@pytest.fixture(scope="session")
async def mail() -> AsyncIterator[MailBox]:
    """The mail server of the site."""
    async with running_mail_server() as box:
        yield box


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, chromium_path: Path, mail: MailBox) -> Iterator[Site]:
    """A server as `make run` starts it, with a mail server and one person, alice."""
    folder = tmp_path_factory.mktemp("site")
    settings = settings_on(f"sqlite+aiosqlite:///{folder}/site.db")
    writing = {"SMTP_URL": mail.url, "MAIL_FROM": "door@example.com"}
    with running_server(folder, {**settings, **writing}) as process:
        yield Site(process, mail)


@pytest.fixture(scope="session")
async def apps(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Apps]:
    """The apps' listeners."""
    tls = self_signed(tmp_path_factory.mktemp("tls"), *HOSTS).served
    async with listening() as local, listening(tls) as web:
        yield Apps(local, web)


@pytest.fixture(scope="session")
async def chromium(chromium_path: Path, apps: Apps) -> AsyncIterator[Browser]:
    """Chromium, which finds the apps' hosts on this computer and nothing else anywhere."""
    rules = [f"MAP {host} 127.0.0.1:{apps.web.port}" for host in HOSTS]
    rules += ["MAP * ~NOTFOUND", "EXCLUDE localhost", "EXCLUDE 127.0.0.1"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path,
            args=[
                *LAUNCH_ARGUMENTS,
                f"--host-resolver-rules={','.join(rules)}",
                "--ignore-certificate-errors",
            ],
        )
        yield browser
        await browser.close()


@pytest.fixture
async def visit(chromium: Browser, site: Site) -> AsyncIterator[Visit]:
    """Open a new profile: `visitor = await visit(color_scheme="dark")`. Nobody's console may have anything to say."""
    visitors: list[Visitor] = []
    async with AsyncExitStack() as stack:

        async def open_profile(**options: Any) -> Visitor:
            context = await chromium.new_context(ignore_https_errors=True, **options)
            stack.push_async_callback(context.close)
            context.set_default_timeout(MILLISECONDS)
            await context.add_init_script(REPORT_VIOLATIONS)
            visitor = Visitor(site, context, await context.new_page())
            visitors.append(visitor)
            return visitor

        yield open_profile
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []
