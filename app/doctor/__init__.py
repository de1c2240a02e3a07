"""Walks discovery as the usual MCP clients do, from outside, against any server, and names the step that is broken."""
