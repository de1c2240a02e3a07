"""The second lock, inside the MCP server: the same decision after the SDK's own parser, before any function runs.

The guard in front answers with the challenge that clients understand. If it should ever read a request otherwise than
the server does, the function still does not run.
"""

from typing import Any, Literal, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST

from app.resource_server.principal import Principal
from app.resource_server.requirements import Requirements
from app.resource_server.verifier import Caller

ToolsList = Literal["all", "mark", "hide"]
MISSING_SCOPES = "ostiary/missingScopes"


class Enforcement:
    """Server middleware of the SDK: refuses what the caller may not do, and fits the list of tools to the caller.

    Args:
        tools_list: what `tools/list` does with a tool that the caller can't use: shows it like the others, marks it,
            or leaves it out.
    """

    def __init__(self, requirements: Requirements, tools_list: ToolsList) -> None:
        self._requirements = requirements
        self._tools_list = tools_list

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if not self._requirements.exist:
            return await call_next(ctx)
        needed = self._requirements.of(ctx.method, ctx.params)
        if needed:
            principal = principal_of(ctx.request)
            if principal is None or not principal.allows(*needed):
                raise MCPError(code=INVALID_REQUEST, message="The access token does not allow this.")
        result = await call_next(ctx)
        if ctx.method == "tools/list" and self._tools_list != "all":
            # The SDK's own handler is all that lies behind this middleware, and it answers in wire form.
            return self._for_caller(cast("dict[str, Any]", result), principal_of(ctx.request))
        return result

    def _for_caller(self, result: dict[str, Any], principal: Principal | None) -> dict[str, Any]:
        """What differs from caller to caller must not be kept for another (MCP 2026-07-28, Caching)."""
        tools = []
        for tool in result["tools"]:
            needed = self._requirements.of_tool(tool["name"])
            missing = needed if principal is None else principal.missing(*needed)
            if not missing:
                tools.append(tool)
            elif self._tools_list == "mark":
                tools.append(_marked(tool, needed, missing))
        changed = {**result, "tools": tools}
        return {**changed, "cacheScope": "private"} if "cacheScope" in result else changed


def _marked(tool: dict[str, Any], needed: frozenset[str], missing: frozenset[str]) -> dict[str, Any]:
    """A tool with a sentence for the model, and for programs what it needs and what of it is missing.

    `securitySchemes` is the form that ChatGPT reads.
    """
    names = ", ".join(sorted(missing))
    hint = f"Not allowed yet: needs {names}, for which the app asks the person when this is called."
    meta = {
        **(tool.get("_meta") or {}),
        "securitySchemes": [{"type": "oauth2", "scopes": sorted(needed)}],
        MISSING_SCOPES: sorted(missing),
    }
    return {**tool, "description": f"{hint} {tool.get('description') or ''}".strip(), "_meta": meta}


def principal_of(request: Any) -> Principal | None:
    """The caller of a request that came through the guard."""
    caller = request.scope.get("user") if request is not None else None
    return caller.principal if isinstance(caller, Caller) else None


def enforce(server: MCPServer[Any], tools_list: ToolsList = "all") -> Requirements:
    """Put the lock into a server, as its innermost middleware; returns what the guard in front asks."""
    requirements = Requirements(server)
    server.middleware[:] = [each for each in server.middleware if not isinstance(each, Enforcement)]
    server.middleware.append(Enforcement(requirements, tools_list))
    return requirements
