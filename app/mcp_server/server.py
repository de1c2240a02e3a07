"""The MCP server that Ostiary protects unless `MCP_SERVER` names another."""

from mcp.server.mcpserver import MCPServer

from app import __version__
from app.mcp_server.tools import identity

mcp = MCPServer(
    "ostiary",
    title="Ostiary",
    description="An MCP server whose tools know who is calling.",
    instructions="Call whoami to learn on whose behalf you act.",
    version=__version__,
)
identity.add_to(mcp)
