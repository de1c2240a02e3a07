"""A server whose tools take and answer everything that a form and a page must show: for `MCP_SERVER`."""

import base64
from typing import Annotated, Literal

from mcp.server.mcpserver import Image, MCPServer
from pydantic import BaseModel, Field

from app.resource_server.identity import CurrentPrincipal

PATH = "tests.typed_server:mcp"
HOSTILE = "<script>alert(1)</script>\u202e\"' onload=x"

mcp = MCPServer("typed", title="Everything", version="1", log_level="WARNING")
# The smallest PNG: one pixel.
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Place(BaseModel):
    """Where."""

    street: str
    number: int


@mcp.tool(title="Take everything")
async def everything(
    text: Annotated[str, Field(description="Any words")],
    count: int,
    share: float = 0.5,
    urgent: bool | None = None,
    colour: Literal["red", "green"] = "red",
    place: Place | None = None,
    tags: list[str] | None = None,
    essay: Annotated[str | None, Field(max_length=5000)] = None,
) -> dict[str, object]:
    """Say what came."""
    return {
        "text": text,
        "count": count,
        "share": share,
        "urgent": urgent,
        "colour": colour,
        "place": place.model_dump() if place else None,
        "tags": tags,
        "essay": essay,
    }


@mcp.tool()
async def who(principal: CurrentPrincipal) -> str:
    """Say who calls, through what."""
    return f"{principal.subject} {principal.client_id} {' '.join(sorted(principal.scopes))}"


@mcp.tool()
async def fail() -> str:
    """Fail."""
    raise ValueError("the tool says no")


@mcp.tool()
async def paint() -> Image:
    """Paint a pixel."""
    return Image(data=_PIXEL, format="png")


@mcp.tool()
async def vector() -> Image:
    """Paint something that could hold a script."""
    return Image(data=b"<svg xmlns='http://www.w3.org/2000/svg'/>", format="svg+xml")


@mcp.tool(title=HOSTILE, description=HOSTILE * 100)
async def hostile(argument: Annotated[str, Field(title=HOSTILE, description=HOSTILE)] = HOSTILE) -> str:
    """Say something dangerous."""
    return HOSTILE + argument


@mcp.tool()
async def silent() -> None:
    """Say nothing."""
