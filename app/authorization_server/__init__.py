"""The authorization server: protocol rules and their storage; knows nothing of HTTP, pages or MCP."""
