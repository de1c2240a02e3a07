"""Pages where someone works: their list from the router, their forms, and people with and without rights."""

import re
from collections.abc import Iterator, Mapping

import httpx2
from fastapi.openapi.utils import get_openapi

from tests.support.world import Form, World, forms_of


def working_routes(world: World, *areas: str) -> Iterator[tuple[str, str]]:
    """Method and address of everything under these paths, as the application's own routes list it."""
    paths = get_openapi(title="", version="", routes=world.app.routes)["paths"]
    for path, operations in sorted(paths.items()):
        if any(path == area or path.startswith(f"{area}/") for area in areas):
            for method in sorted(operations):
                yield method.upper(), re.sub(r"\{[^}]*\}", "x", path)


def form_to(html: str, action: str, **fields: str) -> Form:
    """The form of a page that posts to an address and has these values in its hidden fields or on its button."""
    for form in forms_of(html):
        if form.action == action and fields.items() <= {*form.fields.items(), *form.buttons}:
            return form
    raise AssertionError(f"no form to {action} with {fields}")


async def press(
    browser: httpx2.AsyncClient, page: str, action: str, typed: Mapping[str, str] | None = None, **fields: str
) -> httpx2.Response:
    """Open a page, fill in its form that posts to `action`, and send it."""
    answer = await browser.get(page)
    assert answer.status_code == 200, answer.headers.get("location")
    form = form_to(answer.text, action, **fields)
    return await browser.post(form.action, data={**form.fields, **fields, **(typed or {})})


async def person(world: World, username: str, **rights: bool) -> httpx2.AsyncClient:
    """A browser in which someone new is signed in: `is_admin=True`, `is_auditor=True` or without rights."""
    await world.create_user(username, **rights)
    return await world.signed_in_browser(username)
