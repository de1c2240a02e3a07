"""The MCP server: the place where an adopter writes."""
