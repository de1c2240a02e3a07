"""A server whose tools, prompts and resources need scopes: tests point `MCP_SERVER` here."""

from mcp.server.mcpserver import MCPServer

from app.resource_server.identity import CurrentPrincipal, requires

PATH = "tests.scoped_server:mcp"
SCOPES = [
    {"name": "notes:read", "sentence": "Read your notes", "on_demand": True},
    {"name": "notes:write", "sentence": "Write your notes", "implies": ["notes:read"], "on_demand": True},
    {
        "name": "notes:all",
        "sentence": "Do anything with your notes",
        "implies": ["notes:write"],
        "on_demand": True,
    },
    {"name": "people", "sentence": "Manage people", "admins_only": True, "on_demand": True},
]

mcp = MCPServer("scoped", title="Notes", version="1", log_level="WARNING")
# What was run, in order; tests empty it.
ran: list[str] = []


@mcp.tool()
async def hello() -> str:
    """Needs nothing."""
    ran.append("hello")
    return "hello"


@mcp.tool()
@requires("notes:read")
async def read_note() -> str:
    """Declared below the tool's line."""
    ran.append("read_note")
    return "a note"


@requires("notes:write")
@mcp.tool()
def write_note(text: str = "") -> str:
    """Declared above the tool's line, and synchronous."""
    ran.append("write_note")
    return f"written {text}"


@requires("notes:write")
@mcp.tool(name="räume", title="Tidy up")
@requires("people")
async def tidy() -> str:
    """Needs two, and has a name outside ASCII."""
    ran.append("räume")
    return "tidy"


@mcp.tool()
async def may_write(principal: CurrentPrincipal) -> list[bool]:
    """Asks by itself."""
    return [principal.allows("notes:write"), principal.allows("notes:read", "people"), principal.allows()]


@requires("notes:read")
@mcp.prompt()
def summarise(topic: str = "") -> str:
    """Needs a scope, above."""
    ran.append("summarise")
    return f"Summarise {topic}"


@mcp.resource("notes://all")
@requires("notes:read")
def notes() -> str:
    """Needs a scope, below."""
    ran.append("notes")
    return "all notes"


@requires("notes:read", "notes:write")
@mcp.resource("notes://{number}")
def note(number: str) -> str:
    """Needs two, above."""
    ran.append("note")
    return f"note {number}"


@mcp.resource("found://notes{?words}")
@requires("notes:read", "notes:write")
def found(words: str = "") -> str:
    """Needs two, and its template does not fit itself."""
    ran.append("found")
    return f"notes with {words}"


@mcp.completion()  # type: ignore[no-untyped-call, untyped-decorator]
async def complete(ref: object, argument: object, context: object) -> None:
    """Proposes nothing, but counts."""
    ran.append("complete")
