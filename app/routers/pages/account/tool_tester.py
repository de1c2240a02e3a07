"""The page on which people try the tools of the protected servers, without any app."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Query, Request
from mcp.client import Client
from mcp.types import CallToolResult, ImageContent, TextContent, Tool
from starlette.responses import Response

from app.authorization_server.grants.context import TokenContext
from app.authorization_server.policy import Resource
from app.authorization_server.tool_tester import GRANT_TYPE, open_tester
from app.oauth.errors import OAuthError
from app.oauth.parameters import Parameters
from app.routers.browser import BrowserDep
from app.routers.dependencies import OriginDep, ServicesDep, find_owner, resource_owner
from app.routers.errors import PageError
from app.routers.pages.account.tool_call import Caller, NotAnswered
from app.routers.pages.account.tool_form import Mistakes, fields_of, read_arguments, typed_arguments
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import Person, find_person
from app.routers.pages.render import render_page
from app.routers.services import Services
from app.routers.vouching import find_vouched

router = APIRouter()
PATH = "/account/try"
_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}


@dataclass
class _Tried:
    """How far a visit to the page came; `parts` is None while nothing was called."""

    tools: Sequence[Tool] = ()
    chosen: Tool | None = None
    mistakes: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[Mapping[str, str]] | None = None
    failed: bool = False

    async def call(self, client: Client, tool: Tool, typed: Mapping[str, str]) -> None:
        """Call a tool, if what was typed can be read."""
        try:
            arguments = read_arguments(tool.input_schema, typed)
        except Mistakes as error:
            self.mistakes = error.sentences
            return
        self.parts, self.failed = _parts(await client.call_tool(tool.name, arguments))


@router.get("/try")
async def show_tools(
    http: Request,
    services: ServicesDep,
    browser: BrowserDep,
    origin: OriginDep,
    tool: Annotated[str, Query(max_length=200)] = "",
    server: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """The tools of a server, and the form of one of them."""
    async with services.database.transaction() as tx:
        person = await find_person(http, tx, services, browser, origin)
    caller = await _open(http, person, server)
    return await _page(http, person, caller, tool)


@router.post("/try")
async def call_tool(
    http: Request, form: PageFormDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Call a tool and show what it answers, on the page with the form."""
    async with services.database.transaction() as tx:
        person = await find_person(http, tx, services, browser, origin)
    person.check_form(form)
    caller = await _open(http, person, field_of(form, "server"))
    return await _page(http, person, caller, field_of(form, "tool"), _typed(form))


async def _open(http: Request, person: Person, server: str) -> Caller:
    """A caller for the server that the address names, else the first one.

    No transaction is held while the tool works: it may take long, and may need one itself.

    Raises:
        PageError: there is no such server here, or the page is switched off.
    """
    services = person.services
    resource = _resource(services, server)
    owner = resource_owner(person.signed_in.user)
    try:
        async with services.database.transaction() as tx:
            context = TokenContext(
                tx,
                person.origin,
                services.keys,
                services.signing_keys,
                services.policy,
                find_owner,
                GRANT_TYPE,
                find_vouched,
                lambda _url: None,
                hooks=services.hooks,
            )
            token = await open_tester(context, owner, resource)
    except OAuthError as error:
        raise PageError(
            "You can’t try the tools", error.description, status=403, advice="Go back to your account."
        ) from None
    return Caller(http.app, resource.url, token, person.origin.source)


def _resource(services: Services, url: str) -> Resource:
    here = [one for one in services.policy.resources if one.url in services.servers]
    for resource in here:
        if resource.url == (url or services.policy.default_resource.url):
            return resource
    raise _no_such("server")


async def _page(
    http: Request, person: Person, caller: Caller, name: str, typed: Mapping[str, str] | None = None
) -> Response:
    """The page; with `typed` the tool is called before."""
    tried = _Tried()
    try:
        async with caller.connected() as client:
            tried.tools = (await client.list_tools()).tools
            tried.chosen = next((tool for tool in tried.tools if tool.name == name), None)
            if tried.chosen is not None and typed is not None:
                await tried.call(client, tried.chosen, typed)
    except NotAnswered as error:
        tried.parts, tried.failed = [{"kind": "text", "text": str(error)}], True
    if name and tried.chosen is None and not tried.failed:
        raise _no_such("tool")
    services, chosen = person.services, tried.chosen
    context = {
        **person.context("try"),
        "path": PATH,
        "servers": [
            {"url": one.url, "name": services.servers[one.url].title or services.servers[one.url].name}
            for one in services.policy.resources
            if one.url in services.servers
        ],
        "server": caller.url,
        "tools": tried.tools,
        "tool": chosen,
        "fields": fields_of(chosen.input_schema, typed) if chosen else [],
        "mistakes": tried.mistakes,
        "parts": tried.parts,
        "failed": tried.failed,
        "request": caller.wire.request,
        "answer": caller.wire.answer,
    }
    return render_page(http, "account_try.html", context, status=422 if tried.mistakes else 200)


def _parts(result: CallToolResult) -> tuple[list[dict[str, str]], bool]:
    """The parts of an answer as the page shows them, and whether the tool failed; pictures only of kinds that can
    hold no script.
    """
    parts = []
    for block in result.content:
        if isinstance(block, TextContent):
            parts.append({"kind": "text", "text": block.text})
        elif isinstance(block, ImageContent) and block.mime_type in _PICTURES and _is_base64(block.data):
            parts.append({"kind": "picture", "address": f"data:{block.mime_type};base64,{block.data}"})
        else:
            parts.append({"kind": "text", "text": block.model_dump_json(indent=2, by_alias=True)})
    if not parts and result.structured_content is not None:
        parts.append({"kind": "text", "text": json.dumps(result.structured_content, indent=2)})
    return parts, bool(result.is_error)


def _is_base64(data: str) -> bool:
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    return True


def _typed(form: Parameters) -> dict[str, str]:
    return typed_arguments(dict(form.pairs()))


def _no_such(what: str) -> PageError:
    return PageError(
        f"There is no such {what}",
        f"This server has no {what} of that name, or you may not use it.",
        status=404,
        who="You can, by choosing another one.",
        advice="Go back and choose from the list.",
    )
