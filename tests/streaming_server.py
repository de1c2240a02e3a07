"""A server with a tool that goes on talking: tests point `MCP_SERVER` here."""

import anyio
from mcp.server.mcpserver import Context, MCPServer

mcp = MCPServer("streaming", version="1", log_level="WARNING")
gate = anyio.Event()


@mcp.tool()
async def count(context: Context) -> str:
    """Say one, and two when the gate is open."""
    await context.report_progress(1, message="one")
    await gate.wait()
    await context.report_progress(2, message="two")
    return "done"
