"""The page on which people try the tools of the protected servers, without any app."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from mcp.types import CallToolResult, ImageContent, TextContent, Tool
from starlette.responses import Response

from app.authorization_server.grants.context import TokenContext
from app.authorization_server.policy import Resource
from app.authorization_server.tool_tester import GRANT_TYPE, allowable_scopes, open_tester
from app.oauth.errors import OAuthError
from app.oauth.scopes import implied
from app.resource_server.requirements import Requirements
from app.routers.browser import BrowserDep
from app.routers.dependencies import OriginDep, ServicesDep, find_owner, resource_owner
from app.routers.errors import PageError
from app.routers.pages.account.tool_call import Caller, NotAnswered
from app.routers.pages.account.tool_form import Field, Mistakes, fields_of, read_arguments, typed_arguments
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import Person, find_person, get_person
from app.routers.pages.lists import Choice, link
from app.routers.pages.render import render_page
from app.routers.vouching import find_vouched

router = APIRouter()
PATH = "/account/try"
_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call: the answer's parts, whether it failed, and both messages as they went over the wire."""

    parts: Sequence[Mapping[str, str]]
    failed: bool
    raw: str


@dataclass(frozen=True, slots=True)
class _View:
    """Who is here, at which server, and which of its tools they could let an app use."""

    person: Person
    resource: Resource
    tools: Sequence[Tool]

    def tool(self, name: str) -> Tool:
        """One of the tools.

        Raises:
            PageError: 404.
        """
        for tool in self.tools:
            if tool.name == name:
                return tool
        raise _no_such("tool")


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
        person = get_person(await find_person(http, tx, services, browser, origin))
    view = await _view(person, server)
    chosen = view.tool(tool) if tool else None
    return _page(http, view, chosen, fields_of(chosen.input_schema) if chosen else [])


@router.post("/try")
async def call_tool(
    http: Request, form: PageFormDep, services: ServicesDep, browser: BrowserDep, origin: OriginDep
) -> Response:
    """Call a tool and show what it answers, below its form.

    No transaction is held while the tool works: it may take long, and may need one itself.
    """
    async with services.database.transaction() as tx:
        person = get_person(await find_person(http, tx, services, browser, origin))
    person.check_form(form)
    view = await _view(person, field_of(form, "server"))
    tool = view.tool(field_of(form, "tool"))
    typed = typed_arguments(dict(form.pairs()))
    fields = fields_of(tool.input_schema, typed)
    try:
        arguments = read_arguments(tool.input_schema, typed)
    except Mistakes as error:
        return _page(http, view, tool, fields, mistakes=error.sentences)
    caller = Caller(http.app, view.resource.url, await _access_token(view), origin.source)
    return _page(http, view, tool, fields, outcome=await _outcome(caller, tool, arguments))


async def _view(person: Person, server: str) -> _View:
    services = person.services
    url = server or services.policy.default_resource.url
    if url not in services.servers:
        raise _no_such("server")
    resource = services.policy.find_resource(url)
    owner = resource_owner(person.signed_in.user)
    allowable = implied(allowable_scopes(services.policy, owner, resource), services.policy.catalogue)
    needs = Requirements(services.servers[url])
    tools = [
        tool
        for tool in await services.servers[url].list_tools()
        if needs.of_tool(tool.name) | resource.required_scopes <= allowable
    ]
    return _View(person, resource, tools)


async def _access_token(view: _View) -> str:
    """A token for this person and server.

    Raises:
        PageError: the page is switched off, or the operator's hook refused.
    """
    services = view.person.services
    try:
        async with services.database.transaction() as tx:
            context = TokenContext(
                tx,
                view.person.origin,
                services.keys,
                services.signing_keys,
                services.policy,
                find_owner,
                GRANT_TYPE,
                find_vouched,
                lambda _url: None,
                hooks=services.hooks,
            )
            return await open_tester(context, resource_owner(view.person.signed_in.user), view.resource)
    except OAuthError as error:
        raise PageError(
            "You can’t try the tools", error.description, status=403, advice="Go back to your account."
        ) from None


async def _outcome(caller: Caller, tool: Tool, arguments: Mapping[str, Any]) -> Outcome:
    try:
        async with caller.connected() as client:
            result = await client.call_tool(tool.name, dict(arguments))
        parts, failed = _parts(result), bool(result.is_error)
    except NotAnswered as error:
        parts, failed = [{"kind": "text", "text": str(error)}], True
    return Outcome(parts, failed, "\n\n".join(filter(None, (caller.wire.request, caller.wire.answer))))


def _page(
    http: Request,
    view: _View,
    tool: Tool | None,
    fields: Sequence[Field],
    *,
    mistakes: Mapping[str, str] = MappingProxyType({}),
    outcome: Outcome | None = None,
) -> Response:
    services = view.person.services
    path = services.address.path(PATH)
    here = {"server": view.resource.url} if len(services.servers) > 1 else {}
    context = {
        **view.person.context("try"),
        "path": PATH,
        "server": view.resource.url,
        "servers": [
            Choice(server.title or server.name, link(path, {"server": url}), url == view.resource.url)
            for url, server in services.servers.items()
        ],
        "tools": [
            Choice(one.title or one.name, link(path, {**here, "tool": one.name}), one is tool)
            for one in view.tools
        ],
        "tool": tool,
        "fields": fields,
        "mistakes": mistakes,
        "outcome": outcome,
    }
    return render_page(http, "account_try.html", context, status=422 if mistakes else 200)


def _parts(result: CallToolResult) -> list[dict[str, str]]:
    """The parts of an answer as the page shows them; pictures only of kinds that can hold no script."""
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
    return parts


def _is_base64(data: str) -> bool:
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    return True


def _no_such(what: str) -> PageError:
    return PageError(
        f"There is no such {what}",
        f"This server has no {what} of that name, or you may not use it.",
        status=404,
        who="You can, by choosing another one.",
        advice="Go back and choose from the list.",
    )
