"""What web pages of other origins may call, such as the MCP Inspector and chats in a browser."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_EXPOSED = ("WWW-Authenticate", "Mcp-Session-Id", "Mcp-Protocol-Version", "Retry-After", "DPoP-Nonce")


def open_to_browsers(app: ASGIApp) -> CORSMiddleware:
    """CORS for any origin, never with credentials; refusals carry the headers too."""
    return CORSMiddleware(
        app,
        allow_origins=["*"],
        allow_methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=list(_EXPOSED),
        max_age=86400,
    )
