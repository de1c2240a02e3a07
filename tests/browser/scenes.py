"""The pages that people see, each with the way to it."""

from collections.abc import Awaitable, Callable

from playwright.async_api import expect

from tests.browser.scenes_account import ACCOUNT_SCENES
from tests.browser.scenes_admin import ADMIN_SCENES
from tests.browser.scenes_factors import FACTOR_SCENES
from tests.browser.scenes_links import LINK_SCENES
from tests.browser.scenes_tools import TOOL_SCENES
from tests.browser.visitor import Visitor

Scene = Callable[[Visitor], Awaitable[None]]

HOSTILE_NAME = "Claude (claude.ai) “verified” <img src=x onerror=alert(1)> " + "Pneumonoultramicroscopic" * 2
LONG_HOST = "https://claude.ai." + "a-very-long-label-of-a-host." * 4 + "evil.example/callback"


async def info(visitor: Visitor) -> None:
    await visitor.page.goto(f"{visitor.site.url}/")


async def info_signed_in(visitor: Visitor) -> None:
    await visitor.signed_in()


async def sign_in(visitor: Visitor) -> None:
    await visitor.page.goto(f"{visitor.site.url}/login")


async def sign_in_for_an_app(visitor: Visitor) -> None:
    client = await visitor.site.client("http://127.0.0.1/callback", client_name=HOSTILE_NAME)
    await visitor.page.goto(visitor.site.authorization(client))


async def wrong_password(visitor: Visitor) -> None:
    await sign_in(visitor)
    await visitor.sign_in("wrong horse battery", f"somebody-{id(visitor)}")
    await expect(visitor.page.locator("[role=alert], .wrong, .alert").first).to_be_visible()


async def too_many_tries(visitor: Visitor) -> None:
    name = f"somebody-{id(visitor)}"
    await sign_in(visitor)
    for _ in range(11):
        await visitor.sign_in("wrong horse battery", name)
    await expect(visitor.page.locator("body")).to_contain_text("Too many tries")


async def consent_for_a_program(visitor: Visitor) -> None:
    await visitor.ask(await visitor.site.client("http://127.0.0.1:6274/oauth/callback"))


async def consent_for_a_hostile_app(visitor: Visitor) -> None:
    client = await visitor.site.client(LONG_HOST, client_name=HOSTILE_NAME)
    scope = (
        "mcp offline_access brew-coffee " + "x" * 200 + "".join(f" unknown-{number}" for number in range(9))
    )
    await visitor.ask(client, scope=scope)


async def consent_for_an_app_with_its_own_scheme(visitor: Visitor) -> None:
    await visitor.ask(await visitor.site.client("cursor://anysphere.cursor-retrieval/oauth/callback"))


async def consent_for_more(visitor: Visitor) -> None:
    client = await visitor.site.client("cursor://step.up/callback", client_name="Step by step")
    await visitor.ask(client, scope="mcp")
    # No app answers to the scheme, so the browser gives up and stays.
    async with visitor.page.expect_event("requestfailed"):
        await visitor.press("approve")
    await visitor.ask(client)


async def consent_to_be_recognised(visitor: Visitor) -> None:
    client = await visitor.site.client("http://127.0.0.1:6274/oauth/callback")
    await visitor.ask(client, scope="openid")


async def sign_in_again(visitor: Visitor) -> None:
    await visitor.signed_in()
    client = await visitor.site.client("http://127.0.0.1/callback")
    await visitor.page.goto(visitor.site.authorization(client, prompt="login"))


async def choose_an_account(visitor: Visitor) -> None:
    await visitor.signed_in()
    client = await visitor.site.client("http://127.0.0.1/callback")
    await visitor.page.goto(visitor.site.authorization(client, prompt="select_account", login_hint="bob"))


async def asked_in_silence(visitor: Visitor) -> None:
    client = await visitor.site.client(LONG_HOST, client_name=HOSTILE_NAME)
    await visitor.page.goto(visitor.site.authorization(client, prompt="none"))


async def sign_in_for_a_device(visitor: Visitor) -> None:
    await visitor.page.goto((await visitor.site.device())["verification_uri_complete"])


async def device_code(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/device")


async def device_code_filled_in(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto((await visitor.site.device())["verification_uri_complete"])


async def consent_for_a_device(visitor: Visitor) -> None:
    await visitor.type_code(await visitor.site.device(HOSTILE_NAME))


async def device_connected(visitor: Visitor) -> None:
    await visitor.type_code(await visitor.site.device(HOSTILE_NAME))
    await visitor.press("approve")
    await expect(visitor.page.locator("h1")).to_have_text("You are connected")


async def device_turned_away(visitor: Visitor) -> None:
    await visitor.type_code(await visitor.site.device())
    await visitor.press("deny")
    await expect(visitor.page.locator("h1")).to_have_text("The device was turned away")


async def device_qr_code(visitor: Visitor) -> None:
    await visitor.page.goto(f"{visitor.site.url}/device/qr?user_code=WDJB-MJHT")


async def unknown_app(visitor: Visitor) -> None:
    await visitor.page.goto(f"{visitor.site.url}/authorize?client_id=<script>alert(1)</script>")


async def impossible_request(visitor: Visitor) -> None:
    client = await visitor.site.client("http://127.0.0.1/callback")
    await visitor.page.goto(visitor.site.authorization(client, scope='"'))


async def nothing_there(visitor: Visitor) -> None:
    await visitor.page.goto(f"{visitor.site.url}/nothing/there")


async def sign_out(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/logout")


async def signed_out(visitor: Visitor) -> None:
    await sign_out(visitor)
    await visitor.page.click("form button[type=submit]")
    await expect(visitor.page.locator("form[action$=logout]")).to_have_count(0)


SCENES: tuple[Scene, ...] = (
    info,
    info_signed_in,
    sign_in,
    sign_in_for_an_app,
    wrong_password,
    too_many_tries,
    consent_for_a_program,
    consent_for_a_hostile_app,
    consent_for_an_app_with_its_own_scheme,
    consent_for_more,
    consent_to_be_recognised,
    sign_in_again,
    choose_an_account,
    asked_in_silence,
    sign_in_for_a_device,
    device_code,
    device_code_filled_in,
    consent_for_a_device,
    device_connected,
    device_turned_away,
    device_qr_code,
    unknown_app,
    impossible_request,
    nothing_there,
    sign_out,
    signed_out,
    *ACCOUNT_SCENES,
    *ADMIN_SCENES,
    *FACTOR_SCENES,
    *LINK_SCENES,
    *TOOL_SCENES,
)
