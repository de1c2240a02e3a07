"""A device that can't show a page: what it asks of a running server, and the person who lets it in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from app.accounts import store as accounts
from app.audit import Origin
from app.authorization_server import device_authorization
from app.authorization_server.authentication import SignIn
from app.authorization_server.records import Answer, ResourceOwner
from app.oauth.scopes import parse_scope
from tests.front_channel import assert_html
from tests.support.world import World, forms_of

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
Client = Mapping[str, Any]


@dataclass(frozen=True)
class Device:
    """A client that waits, with what it was told."""

    client: Client
    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


async def register(world: World, **metadata: Any) -> dict[str, Any]:
    """A client of the device grant alone, unless told otherwise."""
    wanted = {
        "client_name": "Television",
        "grant_types": [GRANT_TYPE, "refresh_token"],
        "redirect_uris": [],
        **metadata,
    }
    return await world.register(**wanted)


def request(world: World, client: Client, **changes: str | None) -> dict[str, str]:
    """The form that asks for codes; a change to None leaves a parameter out."""
    form: dict[str, str | None] = {
        "client_id": client["client_id"],
        "scope": "mcp profile email offline_access",
        "resource": world.settings.resource,
        **changes,
    }
    return {name: value for name, value in form.items() if value is not None}


async def ask(world: World, client: Client, **changes: str | None) -> httpx2.Response:
    """Ask for codes."""
    return await world.http.post("/oauth/device_authorization", data=request(world, client, **changes))


async def begin(world: World, client: Client, **changes: str | None) -> Device:
    """A device that waits for someone to type its code."""
    answer = await ask(world, client, **changes)
    assert answer.status_code == 200, answer.text
    return Device(client, **answer.json())


async def poll(world: World, device: Device, **changes: str | None) -> httpx2.Response:
    """Ask for the tokens; a change to None leaves a parameter out."""
    form: dict[str, str | None] = {
        "grant_type": GRANT_TYPE,
        "device_code": device.device_code,
        "client_id": device.client["client_id"],
        **changes,
    }
    sent = {name: value for name, value in form.items() if value is not None}
    return await world.http.post("/oauth/token", data=sent)


async def answer(world: World, device: Device, decision: str = "approve", username: str = "alice") -> None:
    """What happens when this person decides on the page, without the page."""
    origin, policy = Origin(world.clock.now(), "198.51.100.20"), world.services.policy
    code = device_authorization.read_user_code(device.user_code)
    assert code is not None
    async with world.database.transaction() as tx:
        user = await accounts.find_user_by_username(tx, username)
        found = await device_authorization.find(tx, world.services.keys, code)
        assert user is not None
        assert found is not None
        owner = ResourceOwner(user.id, user.username, user.name, user.email, user.is_admin)
        if decision == "approve":
            allowed = Answer(parse_scope(found.device.scope))
            await device_authorization.approve(
                tx, policy, found, owner, allowed, SignIn(user.id, origin.now), origin
            )
        else:
            await device_authorization.deny(tx, policy, found.device, owner, origin)


async def type_code(browser: httpx2.AsyncClient, code: str) -> httpx2.Response:
    """Type a code into the page and send it."""
    page = await browser.get("/device")
    assert page.status_code == 200, page.text
    [form] = forms_of(page.text)
    return await browser.post(form.action, data={**form.fields, "user_code": code})


async def decide(
    browser: httpx2.AsyncClient, device: Device, decision: str = "approve", **changes: str
) -> httpx2.Response:
    """Type a device's code, press a button on the page that follows, and see what comes of it."""
    typed = await type_code(browser, device.user_code)
    assert typed.status_code == 303, typed.text
    page = await browser.get(typed.headers["location"])
    assert page.status_code == 200, page.text
    [form] = forms_of(page.text)
    answered = await browser.post(form.action, data={**form.fields, "decision": decision, **changes})
    return await browser.get(answered.headers["location"]) if answered.status_code == 303 else answered


async def tokens(world: World, client: Client, **changes: str | None) -> dict[str, Any]:
    """Tokens of a device that alice let in."""
    device = await begin(world, client, **changes)
    await answer(world, device)
    answered = await poll(world, device)
    assert answered.status_code == 200, answered.text
    issued: dict[str, Any] = answered.json()
    return issued


async def question(browser: httpx2.AsyncClient, device: Device) -> httpx2.Response:
    """The page that asks about a device, once its code is typed."""
    typed = await type_code(browser, device.user_code)
    assert typed.status_code == 303, typed.text
    page = await browser.get(typed.headers["location"])
    assert_html(page, 200)
    return page
