"""Identity by dependency: what a tool asks for in its signature and a model never sees.

@mcp.tool()
async def hello(user: CurrentUser) -> str: ...
"""

from typing import Annotated

from mcp.server.mcpserver import Context, Resolve
from mcp.server.mcpserver.exceptions import ToolError

from app.resource_server.principal import Principal, User
from app.resource_server.verifier import Caller


async def current_principal(context: Context) -> Principal:
    """Who calls this tool, read from the request that carries the call.

    Raises:
        ToolError: the server runs without its door, over stdio for example.
    """
    request = context.request_context.request
    caller = request.scope.get("user") if request is not None else None
    if not isinstance(caller, Caller):
        raise ToolError("This tool needs a signed-in caller.")
    return caller.principal


async def current_user(context: Context) -> User:
    """The person who signed in.

    Raises:
        ToolError: as `current_principal`.
    """
    return (await current_principal(context)).user


CurrentPrincipal = Annotated[Principal, Resolve(current_principal)]
CurrentUser = Annotated[User, Resolve(current_user)]
