"""The tool of the other servers, with a scope that it needs: what reading the body for it costs."""

from mcp.server.mcpserver import MCPServer

from app.resource_server.identity import CurrentUser, requires

SCOPES = '[{"name": "greet", "sentence": "Greet people"}]'

mcp = MCPServer("scoped", version="0", log_level="WARNING")


@requires("greet")
@mcp.tool(title="Say hello")
async def hello(user: CurrentUser, name: str | None = None) -> str:
    """Greet someone by name, or else the person who signed in."""
    return f"Hello, {name or user.name or 'World'}!"
