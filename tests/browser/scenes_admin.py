"""The operator's pages, with what strangers chose in them."""

import httpx2
from playwright.async_api import expect

from tests.browser.visitor import Visitor

HOSTILE_NAME = "Claude (claude.ai) “verified” <img src=x onerror=alert(1)> " + "Pneumonoultramicroscopic" * 2
LONG_HOST = "https://claude.ai." + "a-very-long-label-of-a-host." * 4 + "evil.example/callback"


async def _client(visitor: Visitor) -> str:
    """A client that asked for something and was refused a token; the reference of that refusal."""
    client = await visitor.site.client(LONG_HOST, client_name=HOSTILE_NAME)
    await visitor.ask(client)
    async with httpx2.AsyncClient(base_url=visitor.site.process.url) as http:
        form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": client["client_id"]}
        return str((await http.post("/oauth/token", data=form)).json()["error_reference"])


async def admin_overview(visitor: Visitor) -> None:
    await visitor.site.busy_month()
    await _client(visitor)
    await visitor.page.goto(f"{visitor.site.url}/admin")
    await expect(visitor.page.locator(".chart")).to_have_count(3)


async def admin_overview_of_a_month(visitor: Visitor) -> None:
    await admin_overview(visitor)
    await visitor.page.click("text=30 days")
    await visitor.page.locator(".chart summary").first.click()


async def admin_audit(visitor: Visitor) -> None:
    await _client(visitor)
    await visitor.page.goto(f"{visitor.site.url}/admin/audit")
    await expect(visitor.page.locator("tbody tr").first).to_be_visible()


async def admin_audit_of_nothing(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/admin/audit?outcome=refused&source=192.0.2.99")


async def admin_clients(visitor: Visitor) -> None:
    await _client(visitor)
    await visitor.page.goto(f"{visitor.site.url}/admin/clients")


async def admin_no_client(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/admin/clients?q=nothing-like-it")


async def admin_client(visitor: Visitor) -> None:
    """By the reference that somebody was given; the last danger is opened."""
    reference = await _client(visitor)
    await visitor.page.goto(f"{visitor.site.url}/admin/clients")
    await visitor.page.fill("input[name=q]", reference)
    await visitor.page.press("input[name=q]", "Enter")
    await expect(visitor.page.locator("ol.steps")).to_contain_text(reference)
    await visitor.page.locator("details.danger summary").last.click()


async def admin_bad_address(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/admin/clients?sort=everything")


async def admin_grants(visitor: Visitor) -> None:
    await visitor.ask(await visitor.site.client("cursor://grants.listed/callback", client_name="Listed"))
    async with visitor.page.expect_event("requestfailed"):
        await visitor.press("approve")
    await visitor.page.goto(f"{visitor.site.url}/admin/grants")


async def admin_users(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/admin/users")


async def admin_user(visitor: Visitor) -> None:
    await admin_users(visitor)
    await visitor.page.locator("table a").first.click()
    await expect(visitor.page.locator("h2").first).to_be_visible()


async def admin_user_refused(visitor: Visitor) -> None:
    await admin_users(visitor)
    await visitor.page.fill("form.fields input[name=username]", "not a name")
    await visitor.page.click("form.fields button[type=submit]")
    await expect(visitor.page.locator("[role=alert]")).to_be_visible()


async def admin_user_made(visitor: Visitor) -> None:
    await admin_users(visitor)
    await visitor.page.fill("form.fields input[name=username]", f"made-{id(visitor)}")
    await visitor.page.click("form.fields button[type=submit]")
    await expect(visitor.page.locator("h1")).to_have_text("The account was made")


async def admin_keys(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/admin/keys")


async def admin_doctor(visitor: Visitor) -> None:
    """Of the server itself, which is on loopback."""
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/admin/doctor")
    await visitor.page.click("form.fields button[type=submit]")
    await expect(visitor.page.locator("table").first).to_contain_text("MCP Inspector")


async def admin_doctor_refused(visitor: Visitor) -> None:
    await visitor.signed_in()
    await visitor.page.goto(f"{visitor.site.url}/admin/doctor")
    await visitor.page.fill("form.fields input[name=url]", "https://mcp.example/mcp?token=1")
    await visitor.page.click("form.fields button[type=submit]")
    await expect(visitor.page.locator("[aria-invalid=true]")).to_be_visible()


ADMIN_SCENES = (
    admin_overview,
    admin_overview_of_a_month,
    admin_audit,
    admin_audit_of_nothing,
    admin_clients,
    admin_no_client,
    admin_client,
    admin_bad_address,
    admin_grants,
    admin_users,
    admin_user,
    admin_user_refused,
    admin_user_made,
    admin_keys,
    admin_doctor,
    admin_doctor_refused,
)
