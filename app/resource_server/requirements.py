"""What an operation needs: said in one line above the function that does it, and asked of the live server.

@requires("notes:write")
@mcp.tool()
async def add_note(text: str, user: CurrentUser) -> None: ...
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resources import FunctionResource

from app.oauth.errors import InvalidScope
from app.oauth.scopes import OFFLINE_ACCESS, parse_scope

_Function = TypeVar("_Function", bound=Callable[..., Any])
_MARK = "__required_scopes__"
_NOTHING: frozenset[str] = frozenset()
# How many functions of this process declare something; while there is none, no request is looked into.
_declarations = 0


def requires(*scopes: str) -> Callable[[_Function], _Function]:
    """Declare that a tool, prompt or resource needs these scopes, all of them.

    It stands above or below the line that registers the function, counts wherever the function is registered, and
    leaves it as it is: whoever calls it from Python is not asked. What the resource needs for everything need not be
    repeated.

    Raises:
        ValueError: no scope is named, or one that is none.
    """
    try:
        names = frozenset(parse_scope(" ".join(scopes)))
    except InvalidScope as error:
        raise ValueError(error.description) from None
    if not names or OFFLINE_ACCESS in names:
        raise ValueError("requires() takes the names of scopes that a tool can need.")

    def declare(function: _Function) -> _Function:
        global _declarations
        target = getattr(function, "__func__", function)  # a method takes no attributes, its function does
        setattr(target, _MARK, names | getattr(target, _MARK, _NOTHING))
        _declarations += 1
        return function

    return declare


def declared(function: object) -> frozenset[str]:
    """What a function was declared to need, through whatever was wrapped around it before or since."""
    found = _NOTHING
    while function is not None:
        found |= getattr(function, _MARK, _NOTHING)
        inner = function.func if isinstance(function, partial) else None
        function = getattr(function, "__wrapped__", inner)
    return found


class Requirements:
    """What the operations of one server need. Asked anew each time: a tool that is added later counts at once."""

    def __init__(self, server: MCPServer[Any]) -> None:
        # The SDK's own tables: its public lists leave out the functions, on which the declarations stand.
        self._tools = server._tool_manager
        self._prompts = server._prompt_manager
        self._resources = server._resource_manager

    @property
    def exist(self) -> bool:
        """Whether anything in this process declares a need."""
        return _declarations > 0

    def of_tool(self, name: str) -> frozenset[str]:
        """The scopes that a tool needs; none for a tool that there is not."""
        tool = self._tools.get_tool(name)
        return _NOTHING if tool is None else declared(tool.fn)

    def of(self, method: str, params: object) -> frozenset[str]:
        """The scopes that an operation needs, given as JSON-RPC has it; nothing for what is no operation."""
        if not isinstance(params, Mapping):
            return _NOTHING
        if method == "completion/complete":
            return self._of_completion(params)
        key = params.get("uri" if method == "resources/read" else "name")
        if not isinstance(key, str):
            return _NOTHING
        if method == "tools/call":
            return self.of_tool(key)
        if method == "prompts/get":
            return self._of_prompt(key)
        return self._of_resource(key) if method == "resources/read" else _NOTHING

    def _of_completion(self, params: Mapping[Any, Any]) -> frozenset[str]:
        """What is proposed for an argument tells of what lies behind it."""
        reference = params.get("ref")
        if not isinstance(reference, Mapping):
            return _NOTHING
        if reference.get("type") == "ref/prompt":
            return self.of("prompts/get", reference)
        return self._of_template(reference.get("uri")) | self.of("resources/read", reference)

    def _of_template(self, spelling: object) -> frozenset[str]:
        """A completion names the template itself, which not every template takes for a URI (`notes://{?q}`)."""
        named = (each for each in self._resources.list_templates() if each.uri_template == spelling)
        return _NOTHING.union(*(declared(each.fn) for each in named))

    def _of_prompt(self, name: str) -> frozenset[str]:
        prompt = self._prompts.get_prompt(name)
        return _NOTHING if prompt is None else declared(prompt.fn)

    def _of_resource(self, uri: str) -> frozenset[str]:
        """Found as the SDK finds it: the resource with this URI, else the first template that fits."""
        for resource in self._resources.list_resources():
            if resource.uri == uri:
                return declared(resource.fn) if isinstance(resource, FunctionResource) else _NOTHING
        for template in self._resources.list_templates():
            if template.parsed_template.match(uri) is not None:
                return declared(template.fn)
        return _NOTHING
