"""The Inspector's web page in a real Chromium: a person who connects, signs in, approves and calls."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from interop.processes import free_port, running
from interop.server import Server
from interop.toolbox import ARTEFACTS, Toolbox, ignored_folder

LAUNCHER = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
SECONDS = 60.0
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium() -> Iterator[Browser]:
    """An installed Chromium or Chrome, else the one that Playwright fetched."""
    found = next(filter(None, map(shutil.which, INSTALLED)), None)
    # The sandbox of Chromium refuses root; nothing but our own pages is opened.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium or Chrome: install one, or run `playwright install chromium`")
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def inspector(server: Server, toolbox: Toolbox, home: Path) -> Iterator[str]:
    """The Inspector's web server, told about our endpoint; yields the address that it prints."""
    env = toolbox.environment(
        home,
        CLIENT_PORT=str(free_port()),
        MCP_SANDBOX_PORT=str(free_port()),
        MCP_APP_ORIGIN_PORT=str(free_port()),
        MCP_AUTO_OPEN_ENABLED="false",
        MCP_INSPECTOR_SECRET_STORE="file",
    )
    command = [*toolbox.script(LAUNCHER), "--web", "--server-url", server.mcp, "--transport", "http"]
    with running(command, env, home) as child:
        yield child.expect(r"http://\S+\?MCP_INSPECTOR_API_TOKEN=\S+", SECONDS)[0]


class Screens:
    """Pictures of each step, numbered, for whoever wants to see what the person saw."""

    def __init__(self, server: Server) -> None:
        self._folder = ignored_folder(ARTEFACTS) / f"inspector-web-{server.database}"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._count = 0

    def take(self, page: Page, name: str) -> None:
        self._count += 1
        page.screenshot(path=self._folder / f"{self._count}-{name}.png", full_page=True)


def sign_in_and_approve(page: Page, server: Server, screens: Screens) -> None:
    """What the person does on our pages."""
    expect(page.locator("[name=username]")).to_be_visible()
    assert page.url.startswith(server.url)
    screens.take(page, "sign-in")
    page.locator("[name=username]").fill(server.person.username)
    page.locator("[name=password]").fill(server.person.password)
    page.locator("[name=password]").press("Enter")
    approve = page.locator("[name=decision][value=approve]")
    expect(approve).to_be_visible()
    screens.take(page, "approval")
    with page.expect_request(re.compile(r"/oauth/callback\?")):
        approve.click()


@pytest.mark.browser
def test_a_person_connects_approves_calls_and_must_sign_in_again_once_revoked(
    server: Server, toolbox: Toolbox, home: Path
) -> None:
    expect.set_options(timeout=SECONDS * 1000)
    screens = Screens(server)
    home.mkdir()
    with inspector(server, toolbox, home) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(SECONDS * 1000)
        page.goto(address)
        with page.expect_request(re.compile(rf"^{server.url}/authorize\?")) as asked:
            page.get_by_role("switch").click(force=True)
        sign_in_and_approve(page, server, screens)
        expect(page.get_by_text("Connected", exact=True)).to_be_visible()
        screens.take(page, "connected")

        page.get_by_text("Tools", exact=True).first.click()
        page.get_by_role("button", name="whoami").click()
        page.get_by_role("button", name="Execute Tool").click()
        results = page.get_by_text(re.compile(rf'"{server.person.username}"')).first
        expect(results).to_be_visible()
        screens.take(page, "whoami")
        assert server.admin.username not in page.locator("body").inner_text()

        (client_id,) = re.findall(r"client_id=([^&]+)", asked.value.url)
        server.revoke_grant_of(client_id)
        page.get_by_role("button", name="Close results").click()
        with page.expect_request(re.compile(rf"^{server.url}/authorize\?")):
            page.get_by_role("button", name="Execute Tool").click()
        page.wait_for_load_state()
        screens.take(page, "after-the-revocation")
