"""The MCP server as an ASGI application: every revision on one endpoint, no paths, no auth of its own."""

from importlib import import_module
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

AnyServer = MCPServer[Any]


class NotAServer(Exception):
    """`MCP_SERVER` does not name an `MCPServer`; the text is one sentence for the operator."""


def load_server(path: str) -> AnyServer:
    """Import `module:attribute`.

    Raises:
        NotAServer: there is no such module or attribute, or it is something else.
    """
    module, _, attribute = path.partition(":")
    try:
        server = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise NotAServer(f"MCP_SERVER names {path}, which can't be loaded: {error}.") from error
    if not isinstance(server, MCPServer):
        raise NotAServer(f"MCP_SERVER names {path}, which is not an MCPServer.")
    return server


def session_manager(server: AnyServer, sessions: bool) -> StreamableHTTPSessionManager:
    """The server's HTTP side, to be run in the application's lifespan; `asgi_app` answers requests.

    With `sessions`, clients of 2025-11-25 and before get a session that lives in this process and belongs to the
    caller who opened it; without, each of their requests stands alone and any replica can answer it. Revision
    2026-07-28 has no sessions either way. Host and Origin are checked by the guard in front.
    """
    server.streamable_http_app(
        stateless_http=not sessions,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return server.session_manager
