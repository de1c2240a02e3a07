"""The example server with a tool that says a word and then nothing more: tests point `MCP_SERVER` here."""

import anyio
from mcp.server.mcpserver import Context, MCPServer

from app.mcp_server.tools.identity import whoami

mcp = MCPServer("talking", version="1", log_level="WARNING")
mcp.add_tool(whoami)


@mcp.tool()
async def talk(context: Context) -> str:
    """Say one word, and go on thinking."""
    await context.report_progress(1, message="first word")
    await anyio.sleep_forever()
    return "done"
