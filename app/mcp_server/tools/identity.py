"""Two small tools that show how a tool knows who is calling. Copy them."""

from datetime import datetime

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from app.resource_server.identity import CurrentPrincipal, CurrentUser


class WhoAmI(BaseModel):
    """The caller. Fields that the person did not agree to share are null, and all of them where an app acts for
    itself."""

    user_id: str | None
    username: str | None
    name: str | None
    email: str | None
    client_id: str
    client_name: str | None
    scopes: list[str]
    expires_at: datetime


async def hello(user: CurrentUser, name: str | None = None) -> str:
    """Greet someone by name, or else the person who signed in."""
    return f"Hello, {name or user.name or 'World'}!"


async def whoami(principal: CurrentPrincipal) -> WhoAmI:
    """Tell who is signed in, through which app, with which permissions and until when."""
    user = principal.user
    return WhoAmI(
        user_id=user.id if user else None,
        username=user.username if user else None,
        name=user.name if user else None,
        email=user.email if user else None,
        client_id=principal.client_id,
        client_name=principal.client_name,
        scopes=sorted(principal.scopes),
        expires_at=principal.expires_at,
    )


def add_to(mcp: MCPServer) -> None:
    """Register the tools of this file."""
    mcp.tool(title="Say hello")(hello)
    mcp.tool(title="Who am I?")(whoami)
