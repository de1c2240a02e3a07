"""People with second factors: how tests set them up and sign in with them."""

import html
import json
import re
from typing import Any

import httpx2
from pyotp import TOTP

from tests.support.authenticator import Authenticator
from tests.support.world import Form, World, forms_of
from tests.working_pages import form_to

NEW_PASSKEY = "/account/security/passkeys/new"
CODES = "/account/security/codes"
SECURITY = "/account/security"
WITH_PASSKEY = "/login/passkey"
SECOND = "/login/second"


def options_of(page: str, action: str) -> Any:
    """What the form to this address tells the script to ask the browser for."""
    for form in re.findall(r"<form[^>]*>", page):
        found = re.search(r'data-options="([^"]*)"', form)
        if f'action="{action}"' in form and found:
            return json.loads(html.unescape(found[1]))
    raise AssertionError(f"no passkey is asked for at {action}")


def second_step(page: str, field: str) -> Form:
    """The form of the second step with this field."""
    return next(form for form in forms_of(page) if form.action == SECOND and field in form.fields)


async def add_passkey(
    browser: httpx2.AsyncClient, passkey: Authenticator, name: str = "", page: str = NEW_PASSKEY
) -> httpx2.Response:
    """Register a passkey of whoever is signed in."""
    shown = await browser.get(page)
    assert shown.status_code == 200, shown.headers.get("location")
    answer = passkey.create(options_of(shown.text, NEW_PASSKEY))
    form = form_to(shown.text, NEW_PASSKEY)
    return await browser.post(form.action, data={**form.fields, "credential": answer, "name": name})


async def sign_in_with(
    browser: httpx2.AsyncClient, passkey: Authenticator, at: str = "/login", **changes: str
) -> httpx2.Response:
    """Sign in with a passkey alone."""
    page = await browser.get(at)
    answer = passkey.get(options_of(page.text, WITH_PASSKEY))
    form = form_to(page.text, WITH_PASSKEY)
    return await browser.post(form.action, data={**form.fields, "credential": answer, **changes})


def code_at(world: World, secret: str, steps: int = 0) -> str:
    """The code that the app shows, now or so many steps of half a minute later."""
    return TOTP(secret).at(world.clock.now(), counter_offset=steps)


async def add_app(
    world: World, browser: httpx2.AsyncClient, page: str = CODES, **changes: str
) -> tuple[str, httpx2.Response]:
    """Set up an app for one-time codes; its secret, and what the server says."""
    shown = await browser.get(page)
    assert shown.status_code == 200, shown.headers.get("location")
    secret = secret_of(shown.text)
    form = form_to(shown.text, CODES)
    data = {**form.fields, "code": code_at(world, secret), **changes}
    return secret, await browser.post(form.action, data=data)


def secret_of(page: str) -> str:
    """The key that the page shows."""
    found = re.search(r'<code class="line">([A-Z2-7 ]+)</code>', page)
    assert found
    return found[1].replace(" ", "")


def recovery_codes_of(page: str) -> list[str]:
    """The recovery codes that a page shows."""
    return re.findall(r"\b[0-9A-Z]{5}-[0-9A-Z]{5}\b", page)


async def begin_second(
    world: World, browser: httpx2.AsyncClient, username: str = "alice", at: str = "/login"
) -> httpx2.Response:
    """Give the right password; the page of the second step."""
    answer = await world.sign_in(browser, username, at=at)
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(SECOND), answer.headers["location"]
    return await browser.get(answer.headers["location"])


async def give(browser: httpx2.AsyncClient, page: httpx2.Response, **typed: str) -> httpx2.Response:
    """Fill in a form of the second step: `code=`, `recovery_code=` or `credential=`."""
    [field] = typed
    form = second_step(page.text, field)
    return await browser.post(form.action, data={**form.fields, **typed})


async def events(world: World, event: str) -> list[tuple[str, str | None]]:
    """Outcome and reason of what is on record under this name."""
    statement = "SELECT outcome, reason FROM audit_events WHERE event = :event ORDER BY id"
    return [(row["outcome"], row["reason"]) for row in await world.rows(statement, event=event)]
