"""Signing in with other providers: a foreign one that is certified (`oidc-provider`), and a second Ostiary."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest

from interop.person import STEPS, parse_forms
from interop.processes import Command, free_port, running
from interop.server import Server, running_server
from interop.toolbox import Toolbox

START_SECONDS = 60.0
CLIENT_ID = "a client: with signs/"


@dataclass(frozen=True)
class SignIn:
    """A browser at the server under test, which people leave to sign in elsewhere."""

    server: Server
    browser: httpx2.Client
    provider: str

    def leave(self, page: str, area: str) -> str:
        """Press the provider's button on a page; where that leads."""
        shown = self.browser.get(f"{self.server.url}{page}")
        action = f"{area}/{self.provider}"
        form = next(form for form in parse_forms(shown.text)[0] if form.action == action)
        answer = self.browser.post(f"{self.server.url}{action}", data=form.fields)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def password(self) -> None:
        """Sign in as the person of the server, with the password that they have there."""
        page = self.browser.get(f"{self.server.url}/login")
        form = next(form for form in parse_forms(page.text)[0] if "password" in form.fields)
        person = self.server.person
        typed = form.fields | {"username": person.username, "password": person.password}
        assert self.browser.post(f"{self.server.url}/login", data=typed).status_code == 303

    def activity(self) -> str:
        """What the account says about who is signed in."""
        return self.browser.get(f"{self.server.url}/account/activity").text


@contextmanager
def one_server(folder: Path, port: int, provider: dict[str, object]) -> Iterator[Server]:
    """A server at this port, which the provider had to know before, whose people may sign in there."""
    folder.mkdir()
    settings = {
        "SIGN_IN_PROVIDERS": json.dumps([provider]),
        "PORT": str(port),
        "PUBLIC_URL": f"http://localhost:{port}",
    }
    with running_server(
        folder, "sqlite", f"sqlite+aiosqlite:///{folder / 'ostiary.db'}", **settings
    ) as server:
        yield server


def at_the_foreign_provider(location: str, name: str) -> str:
    """Sign in and agree on its pages; where it sends the browser back to."""
    home = urlsplit(location)[:2]
    with httpx2.Client(timeout=30) as there:
        page = there.get(location)
        for _ in range(STEPS):
            if page.has_redirect_location:
                target = urljoin(str(page.url), page.headers["location"])
                if urlsplit(target)[:2] != home:
                    return target
                page = there.get(target)
                continue
            form = parse_forms(page.text)[0][0]
            typed = {
                field: name if field in {"login", "password"} else value
                for field, value in form.fields.items()
            }
            page = there.post(urljoin(str(page.url), form.action), data=typed)
    raise AssertionError(page.text)


@pytest.fixture(scope="module")
def foreign(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose people may sign in, and sign up, at a foreign provider."""
    folder = tmp_path_factory.mktemp("foreign")
    port, ours, secret = free_port(), free_port(), secrets.token_urlsafe(24)
    callback = f"http://localhost:{ours}/login/upstream/foreign/callback"
    command: Command = [
        toolbox.node,
        toolbox.clients / "provider.mjs",
        str(port),
        callback,
        CLIENT_ID,
        secret,
    ]
    with running(command, toolbox.environment(folder / "home"), folder) as provider:
        provider.expect("listening", START_SECONDS)
        entry: dict[str, object] = {
            "id": "foreign",
            "name": "Foreign",
            "issuer": f"http://127.0.0.1:{port}",
            "client_id": CLIENT_ID,
            "client_secret": secret,
            "sign_up": True,
        }
        with one_server(folder / "server", ours, entry) as server:
            yield server


def test_somebody_signs_up_and_in_again_with_a_foreign_provider(foreign: Server) -> None:
    for _ in range(2):
        with httpx2.Client(timeout=30) as browser:
            sign_in = SignIn(foreign, browser, "foreign")
            back = at_the_foreign_provider(sign_in.leave("/login", "/login/upstream"), "nora")
            answer = browser.get(back)
            assert answer.status_code == 303, answer.text
            assert "nora elsewhere" in sign_in.activity()
    rows = json.loads(foreign.command("users", "list", "--json"))
    assert [row["email"] for row in rows if row["username"] == "nora"] == ["nora@example.org"]


def test_an_address_that_the_foreign_provider_did_not_verify_is_refused(foreign: Server) -> None:
    with httpx2.Client(timeout=30) as browser:
        sign_in = SignIn(foreign, browser, "foreign")
        back = at_the_foreign_provider(sign_in.leave("/login", "/login/upstream"), "unverified")
        assert browser.get(back).status_code == 401


def test_an_answer_of_the_foreign_provider_is_good_once_and_in_its_browser(foreign: Server) -> None:
    with httpx2.Client(timeout=30) as browser, httpx2.Client(timeout=30) as another:
        sign_in = SignIn(foreign, browser, "foreign")
        back = at_the_foreign_provider(sign_in.leave("/login", "/login/upstream"), "nora")
        assert another.get(back).status_code == 400
        assert browser.get(back).status_code == 303
        assert browser.get(back).status_code == 400


def test_people_sign_in_here_with_another_ostiary(server: Server, tmp_path: Path) -> None:
    """They connect the two once, signed in at both; from then on the other one is enough."""
    ours = free_port()
    callback = f"http://localhost:{ours}/login/upstream/second/callback"
    registered = httpx2.post(
        f"{server.url}/oauth/register",
        json={
            "client_name": "Another door",
            "redirect_uris": [callback],
            "grant_types": ["authorization_code"],
        },
    )
    assert registered.status_code == 201, registered.text
    entry: dict[str, object] = {
        "id": "second",
        "name": "Second",
        "issuer": server.url,
        "client_id": registered.json()["client_id"],
        "client_secret": registered.json()["client_secret"],
    }
    with one_server(tmp_path / "here", ours, entry) as here, httpx2.Client(timeout=30) as first:
        begin = SignIn(here, first, "second")
        begin.password()
        back = server.person.authorize(begin.leave("/account/security", "/account/security/upstream"))
        assert first.get(back).headers["location"].endswith("?done=linked")
        with httpx2.Client(timeout=30) as later:
            again = SignIn(here, later, "second")
            back = server.person.authorize(again.leave("/login", "/login/upstream"))
            assert later.get(back).status_code == 303
            assert "Jane Doe" in again.activity()
