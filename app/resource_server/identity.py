"""Identity by dependency: what a tool asks for in its signature and a model never sees.

@requires("notes:write")
@mcp.tool()
async def add_note(text: str, user: CurrentUser) -> str: ...
"""

from typing import Annotated

from mcp.server.mcpserver import Context, Resolve
from mcp.server.mcpserver.exceptions import ToolError

from app.resource_server.enforcement import principal_of
from app.resource_server.principal import Principal, User
from app.resource_server.requirements import requires

__all__ = ["CurrentPrincipal", "CurrentUser", "current_principal", "current_user", "requires"]


async def current_principal(context: Context) -> Principal:
    """Who calls this tool, read from the request that carries the call.

    Raises:
        ToolError: the server runs without its door, over stdio for example.
    """
    principal = principal_of(context.request_context.request)
    if principal is None:
        raise ToolError("This tool needs a signed-in caller.")
    return principal


async def current_user(context: Context) -> User:
    """The person who signed in.

    Raises:
        ToolError: as `current_principal`, or an app calls for itself.
    """
    user = (await current_principal(context)).user
    if user is None:
        raise ToolError("This tool works for a person who signed in; an app that acts for itself has none.")
    return user


CurrentPrincipal = Annotated[Principal, Resolve(current_principal)]
CurrentUser = Annotated[User, Resolve(current_user)]
