"""The person at the keyboard: signs in through the real pages, decides, and lands on the callback.

Imported by the tests, and run as `BROWSER` by the clients that open one. It knows only what
the contract promises about the pages, so a page that a script cannot use fails every client.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2

USERNAME = "INTEROP_USERNAME"
PASSWORD = "INTEROP_PASSWORD"
STEPS = 12
SECONDS = 30.0


class PageError(Exception):
    """A page did not offer what a person needs to go on; the text shows what it offered."""


@dataclass
class Form:
    """One form as a browser would submit it: hidden fields and typed fields, buttons apart."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    """Collects the forms of a page, and its visible text for error messages."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.text: list[str] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(values.get("method", "get").lower(), values.get("action", ""))
            self.forms.append(self._open)
        elif self._open is not None and "name" in values:
            self._control(self._open, tag, values)

    @staticmethod
    def _control(form: Form, tag: str, values: dict[str, str]) -> None:
        kind = values.get("type", "submit" if tag == "button" else "text").lower()
        if kind == "submit":
            form.buttons.append((values["name"], values.get("value", "")))
        elif kind in {"checkbox", "radio"} and "checked" not in values:
            return
        elif tag == "input":
            form.fields[values["name"]] = values.get("value", "on" if kind == "checkbox" else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())


def parse_forms(html: str) -> tuple[list[Form], str]:
    """The forms of a page, and what it says."""
    parser = _Forms()
    parser.feed(html)
    return parser.forms, " ".join(parser.text)


@dataclass(frozen=True)
class Person:
    """A user with a password, who answers the approval page always in the same way."""

    username: str
    password: str
    decision: str = "approve"

    def authorize(self, url: str) -> str:
        """Walk from an authorization URL through sign-in and approval to the client's callback URL."""
        home = urlsplit(url)[:2]
        with httpx2.Client(timeout=SECONDS, follow_redirects=False) as browser:
            page = browser.get(url)
            for _ in range(STEPS):
                if not page.has_redirect_location:
                    page = self._answer(browser, page)
                    continue
                target = urljoin(str(page.url), page.headers["location"])
                if urlsplit(target)[:2] != home:
                    return target
                page = browser.get(target)
        raise PageError(f"still not at the callback after {STEPS} steps, at {page.url}")

    def connect(self, url: str, code: str = "") -> str:
        """Walk from the address that a device shows to the page that tells how it ended; returns what that says.

        A code that the address does not fill in is typed.
        """
        with httpx2.Client(timeout=SECONDS, follow_redirects=True) as browser:
            page = browser.get(url)
            for _ in range(STEPS):
                forms, text = parse_forms(page.text)
                if not forms:
                    return text
                asked = next(
                    (form for form in forms if "user_code" in form.fields and not form.buttons), None
                )
                if asked is None:
                    page = self._answer(browser, page)
                else:
                    typed = asked.fields | {"user_code": asked.fields["user_code"] or code}
                    page = self._post(browser, page, asked, typed)
        raise PageError(f"still asked after {STEPS} steps, at {page.url}")

    def _answer(self, browser: httpx2.Client, page: httpx2.Response) -> httpx2.Response:
        """Fill in the one form of the flow that this page shows."""
        forms, text = parse_forms(page.text)
        for form in forms:
            if {"username", "password"} <= form.fields.keys():
                typed = form.fields | {"username": self.username, "password": self.password}
                return self._post(browser, page, form, typed)
            if ("decision", self.decision) in form.buttons:
                return self._post(browser, page, form, form.fields | {"decision": self.decision})
        raise PageError(f"{page.status_code} at {page.url} has no form to fill in: {text[:500]}")

    @staticmethod
    def _post(
        browser: httpx2.Client, page: httpx2.Response, form: Form, fields: dict[str, str]
    ) -> httpx2.Response:
        """Submit as a browser does, which hides its origin where the page asks for `no-referrer`."""
        if form.method != "post":
            raise PageError(f"the form at {page.url} would put its fields in the address")
        origin = f"{page.url.scheme}://{page.url.netloc.decode()}"
        hidden = page.headers.get("referrer-policy") == "no-referrer"
        target = urljoin(str(page.url), form.action)
        return browser.post(target, data=fields, headers={"origin": "null" if hidden else origin})

    def visit(self, url: str) -> None:
        """Authorize, and load the callback, as the browser that a client opened would."""
        callback = self.authorize(url)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                httpx2.get(callback, timeout=SECONDS).raise_for_status()
                return
            except httpx2.ConnectError:
                # Some clients listen only once the browser is open; people are slower than this.
                if time.monotonic() > deadline:
                    raise


def main(arguments: list[str]) -> int:
    """`BROWSER` for real clients: who is at the keyboard comes from the environment."""
    if len(arguments) != 1:
        print("usage: person.py AUTHORIZATION-URL", file=sys.stderr)
        return 2
    Person(os.environ[USERNAME], os.environ[PASSWORD]).visit(arguments[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
